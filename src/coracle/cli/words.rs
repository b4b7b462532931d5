//! How options may be spelt: as programs written in Go accept them, because that is what callers were written for.
//!
//! `-name` and `--name` are the same, short or long; a value follows `=` or is the next word; a switch may be given
//! a value too (`-d=false`); short switches do not bundle; the last of two values wins; an empty value is as good as
//! none. clap then sees one spelling only.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// What the words of a command line are, in the spelling clap knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// `--name` or `--name=value`, each option once unless it may be repeated.
    pub options: Vec<OsString>,
    /// Everything that is neither an option nor a value of one.
    pub operands: Vec<OsString>,
}

/// Where the options of a command end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// At `--`; options may follow operands.
    End,
    /// At the first operand: what follows belongs to somebody else.
    Operand,
}

/// A word that cannot be an option of this command. The texts are those of Go's `flag` package.
#[derive(Debug, PartialEq, Eq)]
pub enum Misspelt {
    /// `---name`, `-=value`.
    Syntax(String),
    /// No option has this name.
    Undefined(String),
    /// The command line ends where a value was due.
    NeedsArgument(String),
    /// A switch got a value that is neither true nor false.
    NotBoolean(String, String),
}

impl fmt::Display for Misspelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misspelt::Syntax(word) => write!(f, "bad flag syntax: {word}"),
            Misspelt::Undefined(name) => write!(f, "flag provided but not defined: -{name}"),
            Misspelt::NeedsArgument(name) => write!(f, "flag needs an argument: -{name}"),
            Misspelt::NotBoolean(name, value) => {
                write!(f, "invalid boolean value {value:?} for -{name}: parse error")
            }
        }
    }
}

/// The truth values Go's `strconv.ParseBool` knows.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Words {
    /// Tells the options of `command` in `args` from its operands.
    pub fn sort(command: &clap::Command, args: &[OsString], until: Until) -> Result<Words, Misspelt> {
        let mut given = Given::default();
        let mut operands = Vec::new();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let name = match option_name(arg)? {
                Word::Operand => {
                    operands.push(arg.clone());
                    if until == Until::Operand {
                        break;
                    }
                    continue;
                }
                Word::End => break,
                Word::Option(name) => name,
            };
            let (name, value) = split_value(name);
            let name = name.to_string_lossy();
            let option = find(command, &name).ok_or_else(|| Misspelt::Undefined(name.to_string()))?;
            if !option.get_action().takes_values() {
                given.switch(option, &name, value)?;
            } else if let Some(value) = value.or_else(|| rest.next().map(OsString::as_os_str)) {
                given.value(option, value);
            } else {
                return Err(Misspelt::NeedsArgument(name.to_string()));
            }
        }
        operands.extend(rest.cloned());
        Ok(Words { options: given.spell(), operands })
    }
}

enum Word<'a> {
    Operand,
    End,
    Option(&'a OsStr),
}

fn option_name(arg: &OsStr) -> Result<Word<'_>, Misspelt> {
    let name = match arg.as_bytes() {
        b"--" => return Ok(Word::End),
        b"-" => return Ok(Word::Operand),
        [b'-', b'-', name @ ..] | [b'-', name @ ..] => name,
        _ => return Ok(Word::Operand),
    };
    if matches!(name, [b'-' | b'=', ..]) {
        return Err(Misspelt::Syntax(arg.to_string_lossy().into_owned()));
    }
    Ok(Word::Option(OsStr::from_bytes(name)))
}

fn split_value(word: &OsStr) -> (&OsStr, Option<&OsStr>) {
    let bytes = word.as_bytes();
    match bytes.iter().position(|&byte| byte == b'=') {
        Some(at) => (OsStr::from_bytes(&bytes[..at]), Some(OsStr::from_bytes(&bytes[at + 1..]))),
        None => (word, None),
    }
}

fn find<'a>(command: &'a clap::Command, name: &str) -> Option<&'a clap::Arg> {
    let mut letters = name.chars();
    let letter = letters.next().filter(|_| letters.next().is_none());
    command
        .get_opts()
        .chain(command.get_arguments().filter(|arg| !arg.get_action().takes_values()))
        .find(|arg| arg.get_long() == Some(name) || (letter.is_some() && arg.get_short() == letter))
}

/// The options seen so far.
#[derive(Default)]
struct Given<'a>(Vec<(&'a clap::Arg, Option<OsString>)>);

impl<'a> Given<'a> {
    fn switch(&mut self, option: &'a clap::Arg, name: &str, value: Option<&OsStr>) -> Result<(), Misspelt> {
        self.forget(option);
        let text = value.map_or("true".into(), OsStr::to_string_lossy);
        match boolean(&text) {
            Some(true) => self.0.push((option, None)),
            Some(false) => {}
            None => return Err(Misspelt::NotBoolean(name.to_owned(), text.into_owned())),
        }
        Ok(())
    }

    fn value(&mut self, option: &'a clap::Arg, value: &OsStr) {
        let repeats = matches!(option.get_action(), clap::ArgAction::Append);
        if !repeats {
            self.forget(option);
        }
        if repeats || !value.is_empty() {
            self.0.push((option, Some(value.to_owned())));
        }
    }

    fn forget(&mut self, option: &clap::Arg) {
        self.0.retain(|(seen, _)| seen.get_id() != option.get_id());
    }

    fn spell(self) -> Vec<OsString> {
        let spell = |(option, value): (&clap::Arg, Option<OsString>)| {
            let mut word = OsString::from("--");
            word.push(option.get_long()?);
            if let Some(value) = value {
                word.push("=");
                word.push(value);
            }
            Some(word)
        };
        self.0.into_iter().filter_map(spell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction, Command};
    use std::os::unix::ffi::OsStringExt;

    fn command() -> Command {
        Command::new("test")
            .arg(Arg::new("bundle").short('b').long("bundle").action(ArgAction::Set))
            .arg(Arg::new("detach").short('d').long("detach").action(ArgAction::SetTrue))
            .arg(Arg::new("tty").short('t').long("tty").action(ArgAction::SetTrue))
            .arg(Arg::new("env").short('e').long("env").action(ArgAction::Append))
            .arg(Arg::new("id").required(true))
    }

    fn sort(args: &[&str], until: Until) -> Result<(String, String), String> {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        let join = |words: Vec<OsString>| words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        match Words::sort(&command(), &args, until) {
            Ok(words) => Ok((join(words.options), join(words.operands))),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn spellings() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&[], "", ""),
            (&["id"], "", "id"),
            (&["-b", "x", "id"], "--bundle=x", "id"),
            (&["--b", "x", "id"], "--bundle=x", "id"),
            (&["-b=x", "id"], "--bundle=x", "id"),
            (&["-bundle=x", "id"], "--bundle=x", "id"),
            (&["-bundle", "x", "id"], "--bundle=x", "id"),
            (&["--bundle", "x", "id"], "--bundle=x", "id"),
            (&["--bundle=x=y", "id"], "--bundle=x=y", "id"),
            (&["id", "--bundle", "x", "-d"], "--bundle=x --detach", "id"),
            (&["-b", "-d", "id"], "--bundle=-d", "id"),
            (&["-b", "--", "id"], "--bundle=--", "id"),
            (&["-b", "x", "-b", "y", "id"], "--bundle=y", "id"),
            (&["-b", "x", "--bundle=", "id"], "", "id"),
            (&["-b", "", "id"], "", "id"),
            (&["-d", "id"], "--detach", "id"),
            (&["-d", "--detach", "id"], "--detach", "id"),
            (&["-d=1", "--tty=T", "id"], "--detach --tty", "id"),
            (&["-d", "-d=false", "id"], "", "id"),
            (&["-d=false", "-d", "id"], "--detach", "id"),
            (&["-e", "a=b", "-e=c=d", "--env", "", "id"], "--env=a=b --env=c=d --env=", "id"),
            (&["id", "--", "-d"], "", "id -d"),
            (&["--", "-d", "--", "id"], "", "-d -- id"),
            (&["-", "id"], "", "- id"),
            (&["", "id"], "", " id"),
        ];
        for (args, options, operands) in cases {
            assert_eq!(sort(args, Until::End), Ok(((*options).into(), (*operands).into())), "{args:?}");
        }
    }

    #[test]
    fn mistakes() {
        let cases: &[(&[&str], &str)] = &[
            (&["-dt", "id"], "flag provided but not defined: -dt"),
            (&["--frob=x", "id"], "flag provided but not defined: -frob"),
            (&["id", "-9"], "flag provided but not defined: -9"),
            (&["--id=x"], "flag provided but not defined: -id"),
            (&["--é"], "flag provided but not defined: -é"),
            (&["---x", "id"], "bad flag syntax: ---x"),
            (&["-=x", "id"], "bad flag syntax: -=x"),
            (&["--=x", "id"], "bad flag syntax: --=x"),
            (&["id", "-b"], "flag needs an argument: -b"),
            (&["--bundle"], "flag needs an argument: -bundle"),
            (&["-d=maybe", "id"], "invalid boolean value \"maybe\" for -d: parse error"),
            (&["-d=", "id"], "invalid boolean value \"\" for -d: parse error"),
        ];
        for (args, error) in cases {
            assert_eq!(sort(args, Until::End), Err((*error).into()), "{args:?}");
        }
    }

    #[test]
    fn options_of_another_command_are_left_alone() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&["-d", "create", "-b", "x", "-zz", "id"], "--detach", "create -b x -zz id"),
            (&["create", "--", "id"], "", "create -- id"),
            (&["--", "create", "-d"], "", "create -d"),
        ];
        for (args, options, operands) in cases {
            assert_eq!(sort(args, Until::Operand), Ok(((*options).into(), (*operands).into())), "{args:?}");
        }
    }

    #[test]
    fn values_need_not_be_text() {
        let odd = OsString::from_vec(b"/tmp/\xff".to_vec());
        let words = Words::sort(&command(), &["-b".into(), odd.clone(), odd.clone()], Until::End).unwrap();
        assert_eq!(words.options, [OsString::from_vec(b"--bundle=/tmp/\xff".to_vec())]);
        assert_eq!(words.operands, [odd]);
    }
}
