//! Completions for bash, zsh and fish. What the generators cannot know is added: the names of containers are asked for
//! when they are wanted.

use std::path::PathBuf;

use clap::Command;
use clap_complete::{Shell, generate};

use crate::Page;

/// Commands whose operand is the name of a container to be.
const NEW: [&str; 3] = ["create", "restore", "run"];

/// Where each shell looks for completions, below the directory for shared data.
const PLACES: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions/coracle"),
    (Shell::Zsh, "zsh/site-functions/_coracle"),
    (Shell::Fish, "fish/vendor_completions.d/coracle.fish"),
];

/// The completions of `command` for each shell.
pub fn pages(command: &Command) -> std::io::Result<Vec<Page>> {
    let verbs = with_ids(command);
    let page = |(shell, place): (Shell, &str)| {
        let mut content = Vec::new();
        generate(shell, &mut command.clone(), "coracle", &mut content);
        let text = String::from_utf8(content).map_err(std::io::Error::other)?;
        let text = match shell {
            Shell::Bash => bash(text, &verbs),
            Shell::Zsh => zsh(&text),
            _ => fish(text, &verbs),
        };
        Ok((PathBuf::from(place), text.into_bytes()))
    };
    PLACES.into_iter().map(page).collect()
}

/// The commands with the name of an existing container among their operands.
fn with_ids(command: &Command) -> Vec<&str> {
    let takes = |verb: &&Command| verb.get_positionals().any(|operand| operand.get_id() == "id");
    let verbs = command.get_subcommands().filter(takes).map(Command::get_name);
    verbs.filter(|verb| !NEW.contains(verb)).collect()
}

fn bash(generated: String, verbs: &[&str]) -> String {
    let verbs = verbs.join("|");
    generated
        + &format!(
            r#"
# The names of containers, below the state root that was given.
_coracle_with_ids() {{
    _coracle "$@"
    local word verb='' root=() cur=${{COMP_WORDS[COMP_CWORD]}} i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        case $word in
            --root | -root) root=(--root "${{COMP_WORDS[i + 1]}}") ;;
            --root=* | -root=*) root=(--root "${{word#*=}}") ;;
        esac
        case $word in
            {verbs}) [[ -n $verb ]] || verb=$word ;;
        esac
    done
    if [[ -n $verb && $cur != -* ]]; then
        mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -W "$(coracle "${{root[@]}}" list --quiet 2>/dev/null)" -- "$cur")
    fi
    # What stands for something is nothing to be written.
    for i in "${{!COMPREPLY[@]}}"; do
        [[ ${{COMPREPLY[i]}} != [\<\[]* ]] || unset "COMPREPLY[i]"
    done
    COMPREPLY=("${{COMPREPLY[@]}}")
}}
complete -F _coracle_with_ids -o bashdefault -o default coracle
"#
        )
}

fn zsh(generated: &str) -> String {
    let function = "\n(( $+functions[_coracle_ids] )) ||\n_coracle_ids() {\n    local ids; ids=(${(f)\"$(_call_program ids \
                    coracle list --quiet 2>/dev/null)\"})\n    _describe -t ids 'container' ids\n}\n";
    let text = generated.replace(":id -- Name of the container:_default", ":id -- Name of the container:_coracle_ids");
    match text.find("\nif [ \"$funcstack[1]\"") {
        Some(end) => [&text[..end], function, &text[end..]].concat(),
        None => text + function,
    }
}

fn fish(generated: String, verbs: &[&str]) -> String {
    let verbs = verbs.join(" ");
    let line = format!(
        "complete -c coracle -n \"__fish_seen_subcommand_from {verbs}\" -f -a \"(coracle list --quiet 2>/dev/null)\""
    );
    format!("{generated}\n# The names of containers.\n{line}\n")
}
