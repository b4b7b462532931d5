//! Whatever the command line accepts is in every page.

use std::process::Command;

use crate::{pages, write};

fn page(name: &str) -> String {
    let pages = pages().unwrap();
    let (_, content) = pages.iter().find(|(path, _)| path.ends_with(name)).unwrap_or_else(|| panic!("no page {name}"));
    String::from_utf8(content.clone()).unwrap()
}

/// Commands, the program itself first under an empty name, with the long names of their options that are shown.
fn definition() -> Vec<(String, Vec<String>)> {
    let options = |command: &clap::Command| {
        let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
        shown.filter_map(|arg| arg.get_long().map(str::to_owned)).collect::<Vec<_>>()
    };
    let command = coracle::definition();
    let verbs = command.get_subcommands().map(|verb| (verb.get_name().to_owned(), options(verb)));
    [(String::new(), options(&command))].into_iter().chain(verbs).collect()
}

#[test]
fn man_pages_have_every_option() {
    for (verb, options) in definition() {
        let name = if verb.is_empty() { "coracle.8".to_owned() } else { format!("coracle-{verb}.8") };
        let text = page(&name).replace("\\-", "-");
        assert!(text.contains(&format!("coracle-{verb}")) || verb.is_empty(), "{name} is not about {verb}");
        for option in options {
            assert!(text.contains(&format!("--{option}")), "{name} has no --{option}");
        }
    }
    let top = page("coracle.8").replace("\\-", "-");
    assert!(definition().iter().all(|(verb, _)| top.contains(verb)));
}

#[test]
fn completions_have_every_option() {
    for place in ["completions/coracle", "_coracle", "coracle.fish"] {
        let text = page(place);
        for (verb, options) in definition() {
            assert!(text.contains(&verb), "{place} has no {verb}");
            for option in options {
                let written = if place.ends_with("fish") { format!("-l {option} ") } else { format!("--{option}") };
                assert!(
                    text.contains(&written) || text.contains(&format!("-l {option}\n")),
                    "{place}: {verb} --{option}"
                );
            }
        }
        assert!(text.contains("coracle list --quiet") || text.contains("list --quiet"), "{place} asks for no names");
    }
}

/// What bash offers after `words`; `coracle list` is a function that names two containers.
fn offered(words: &[&str]) -> Vec<String> {
    let directory = std::env::temp_dir().join(format!("coracle-pages-{}-{}", std::process::id(), words.join("_")));
    write(&directory).unwrap();
    let script = format!(
        "coracle() {{ printf 'web1\\nweb2\\n'; }}; . {0}/bash-completion/completions/coracle; \
         COMP_WORDS=({1}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
         _coracle_with_ids coracle \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        directory.display(),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
    );
    let output = Command::new("bash").args(["-uc", &script]).output().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_offers_commands_options_and_containers() {
    assert_eq!(offered(&["coracle", "pau"]), ["pause"]);
    assert_eq!(offered(&["coracle", "run", "--det"]), ["--detach"]);
    assert_eq!(offered(&["coracle", "kill", "web"]), ["web1", "web2"]);
    assert_eq!(offered(&["coracle", "--root", "/x", "exec", "web2"]), ["web2"]);
    assert!(!offered(&["coracle", "create", "web"]).contains(&"web1".to_owned()));
    assert!(offered(&["coracle", "state", ""]).iter().all(|word| !word.starts_with('<')));
}

/// A command and an option of it, as the table spells them, and all that a test may write for it.
type Spelt = (String, String, Vec<String>);

/// Every command and option of the definition, those that are not shown too.
fn spelt() -> Vec<Spelt> {
    let command = coracle::definition();
    let options = |name: &str, command: &clap::Command| {
        let spelt = command.get_arguments().filter_map(|arg| {
            let long = format!("--{}", arg.get_long()?);
            let short = arg.get_short().map(|short| format!("\"-{short}\""));
            Some((name.to_owned(), long.clone(), [Some(long), short].into_iter().flatten().collect()))
        });
        spelt.filter(|(_, long, _)| name == "coracle" || long != "--help").collect::<Vec<Spelt>>()
    };
    let verbs = command.get_subcommands().flat_map(|verb| {
        let name = verb.get_name();
        [vec![(name.to_owned(), String::new(), vec![format!("\"{name}\"")])], options(name, verb)].concat()
    });
    options("coracle", &command).into_iter().chain(verbs).collect()
}

#[test]
fn every_option_has_a_test() {
    let table = include_str!("../../integration/data/options.tsv");
    let rows: Vec<Vec<&str>> =
        table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect();
    let named = |command: &str, option: &str| rows.iter().any(|row| row[..2] == [command, option]);
    let spelt = spelt();
    let missing: Vec<_> = spelt.iter().filter(|(command, option, _)| !named(command, option)).collect();
    assert!(missing.is_empty(), "integration/data/options.tsv lacks {missing:?}");
    let known = |row: &&Vec<&str>| spelt.iter().any(|(command, option, _)| row[..2] == [command, option]);
    let unknown: Vec<_> = rows.iter().filter(|row| !known(row)).collect();
    assert!(unknown.is_empty(), "integration/data/options.tsv has what there is not: {unknown:?}");

    // In the file of its test, or in the harness that does it for all tests, stands what the table says is used.
    let (sources, harness) = (sources(&["integration/tests", "src/coracle/tests"]), sources(&["integration/src"]));
    let uses = |row: &Vec<&str>, words: &[String]| {
        let (quoted, function) = (format!("\"{}\"", row[2]), format!("fn {}()", row[2]));
        let own = sources.iter().filter(|text| text.contains(&quoted) || text.contains(&function));
        let found =
            own.map(|own| words.iter().any(|word| [own].into_iter().chain(&harness).any(|text| text.contains(word))));
        found.fold(None, |any, found| Some(any.unwrap_or(false) || found))
    };
    for row in &rows {
        let words = spelt.iter().find(|(command, option, _)| row[..2] == [command, option]).map(|(.., words)| words);
        let used = uses(row, words.map_or(&[], Vec::as_slice));
        assert!(used.is_some(), "integration/data/options.tsv names a test there is not: {row:?}");
        assert!(used == Some(true), "integration/data/options.tsv names a test that does not use it: {row:?}");
    }
}

/// The texts of the sources in these directories.
fn sources(directories: &[&str]) -> Vec<String> {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let lists = directories.iter().map(|directory| std::fs::read_dir(top.join(directory)).unwrap());
    let files = lists.flat_map(|list| list.flatten().map(|entry| entry.path()));
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}
