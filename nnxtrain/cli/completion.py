"""``nnxtrain completion``: the scripts that make a shell complete our commands."""

from __future__ import annotations

from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, rest
from nnxtrain.cli.complete import SHELLS
from nnxtrain.errors import InputError, nearest

# A word goes on after = . and /, so no blank follows there.
SCRIPTS = {
    "bash": """\
_nnxtrain() {
  local IFS=$'\\n'
  COMPREPLY=($("${COMP_WORDS[0]}" __complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
  if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F _nnxtrain nnxtrain
""",
    "zsh": """\
#compdef nnxtrain
_nnxtrain() {
  local -a found
  found=("${(@f)$(${words[1]:-nnxtrain} __complete zsh "$LBUFFER" 2>/dev/null)}")
  compadd -Q -S '' -- ${(M)found:#*[=./]}
  compadd -Q -- ${found:#*[=./]}
}
(( $+functions[compdef] )) && compdef _nnxtrain nnxtrain
""",
    "fish": """\
complete -c nnxtrain -f -a '(nnxtrain __complete fish (commandline -cp) 2>/dev/null)'
""",
}


@dataclass(frozen=True)
class Completion(Command):
    """Print the script that makes a shell complete commands, arguments, options, keys and runs.

    examples:
      source <(nnxtrain completion bash)        in ~/.bashrc
      source <(nnxtrain completion zsh)         in ~/.zshrc, after compinit
      nnxtrain completion fish > ~/.config/fish/completions/nnxtrain.fish
    """

    shell: tuple[str, ...] = rest("bash, zsh or fish", metavar="SHELL")

    def __call__(self) -> int:
        if len(self.shell) != 1 or self.shell[0] not in SCRIPTS:
            given = " ".join(self.shell) or "none"
            raise InputError(
                f"completion: name one shell ({', '.join(SHELLS)}), got {given}{nearest(given, SHELLS)}"
            )
        print(SCRIPTS[self.shell[0]], end="")
        return 0
