import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script with which SHELL completes this command.

    It completes commands, options, choices and the ids of servers, which it asks the API for.
    To enable it in every new shell:

    \b
      bash  manmanv2 completion bash > ~/.local/share/bash-completion/completions/manmanv2
      zsh   manmanv2 completion zsh > "${fpath[1]}/_manmanv2"
      fish  manmanv2 completion fish > ~/.config/fish/completions/manmanv2.fish

    Bash needs the package bash-completion for this. Without it, add to ~/.bashrc:

    \b
      eval "$(manmanv2 completion bash)"
    """
    completion_class = get_completion_class(shell)
    assert completion_class
    script = completion_class(context.find_root().command, {}, "manmanv2", "_MANMANV2_COMPLETE")
    click.echo(script.source(), nl=False)
