from hypothesis import given
from hypothesis import strategies as st

from domain.paging import split_page

LISTS = st.lists(st.integers(1, 99), unique=True, max_size=20).map(sorted)


@given(everything=LISTS, size=st.integers(1, 8))
def test_the_pages_together_are_the_whole_list(everything: list[int], size: int) -> None:
    pages, after = [], 0
    while True:
        rows = [number for number in everything if number > after][: size + 1]
        page, next_after = split_page(rows, size, lambda number: number)
        pages.append(page)
        if next_after is None:
            break
        after = next_after

    assert [number for page in pages for number in page] == everything
    assert all(len(page) == size for page in pages[:-1])
    assert pages[-1] or not everything
