"""Random labels and selectors with few keys and values, so that selectors often match."""

from hypothesis import strategies as st

KEYS = st.sampled_from(["a", "b", "c.d/e", "in", "notin"])
VALUES = st.sampled_from(["", "x", "y", "in", "1.2-z_9"])
BLANKS = st.sampled_from(["", " ", "  ", "\t"])
LABELS = st.dictionaries(KEYS, VALUES)


@st.composite
def requirements(draw: st.DrawFn) -> str:
    key, blank = draw(KEYS), draw(BLANKS)
    form = draw(st.sampled_from(["=", "==", "!=", "in", "notin", "exists", "absent"]))
    if form == "exists":
        return key
    if form == "absent":
        return f"!{blank}{key}"
    if form in ("in", "notin"):
        values = draw(st.lists(VALUES, min_size=1, max_size=4))
        return f"{key} {blank}{form}{blank}({f'{blank},{blank}'.join(values)}{blank})"
    return f"{key}{blank}{form}{blank}{draw(VALUES)}"


REQUIREMENTS = requirements()


@st.composite
def selector_texts(draw: st.DrawFn) -> str:
    blank = draw(BLANKS)
    parts = draw(st.lists(REQUIREMENTS, min_size=1, max_size=6))
    return f"{blank}{f'{blank},{blank}'.join(parts)}{blank}"
