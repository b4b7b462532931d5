//! `--change`: lines of a Dockerfile that change the configuration of an image.

use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// A change of an image's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A member of `config`, replaced.
    Set(&'static str, Value),
    /// A variable of `Env`.
    Env(String, String),
    /// A key of a map.
    Insert(&'static str, String, Value),
}

impl Change {
    /// Changes the member `config` of an image configuration.
    pub fn apply(&self, config: &mut Value) {
        match self {
            Change::Set(member, value) => config[*member] = value.clone(),
            Change::Env(name, value) => {
                let mut list = config["Env"].as_array().cloned().unwrap_or_default();
                let prefix = format!("{name}=");
                list.retain(|entry| !entry.as_str().is_some_and(|entry| entry.starts_with(&prefix)));
                list.push(json!(format!("{name}={value}")));
                config["Env"] = Value::Array(list);
            }
            Change::Insert(member, key, value) => {
                if !config[*member].is_object() {
                    config[*member] = Value::Object(Map::new());
                }
                config[*member][key] = value.clone();
            }
        }
    }
}

impl FromStr for Change {
    type Err = Error;

    fn from_str(text: &str) -> Result<Change> {
        let invalid = |problem: &str| Error::invalid(format!("change {text:?}: {problem}"));
        let (word, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(|| invalid("it has no value"))?;
        let rest = rest.trim();
        let pair = || match rest.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.trim_matches('"').to_owned())),
            _ => Err(invalid("must be NAME=VALUE")),
        };
        Ok(match word.to_ascii_uppercase().as_str() {
            "CMD" => Change::Set("Cmd", program(rest)),
            "ENTRYPOINT" => Change::Set("Entrypoint", program(rest)),
            "USER" => Change::Set("User", json!(rest)),
            "WORKDIR" => Change::Set("WorkingDir", json!(rest)),
            "STOPSIGNAL" => Change::Set("StopSignal", json!(rest)),
            "ENV" => pair().map(|(name, value)| Change::Env(name, value))?,
            "LABEL" => pair().map(|(name, value)| Change::Insert("Labels", name, json!(value)))?,
            "EXPOSE" if rest.contains('/') => Change::Insert("ExposedPorts", rest.to_owned(), json!({})),
            "EXPOSE" => Change::Insert("ExposedPorts", format!("{rest}/tcp"), json!({})),
            "VOLUME" => Change::Insert("Volumes", rest.to_owned(), json!({})),
            _ => {
                return Err(invalid(
                    "known are CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR",
                ));
            }
        })
    }
}

/// A JSON array of words, or a line for the shell.
fn program(text: &str) -> Value {
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(words) => json!(words),
        Err(_) => json!(["/bin/sh", "-c", text]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        let mut config = json!({"Env": ["A=1", "AB=2"], "Cmd": ["old"], "Labels": null});
        for text in ["CMD [\"a\",\"b c\"]", "ENV A=3", "label x=\"y z\"", "EXPOSE 80", "USER 7", "WORKDIR /w"] {
            text.parse::<Change>().unwrap().apply(&mut config);
        }
        let expected = json!({"Env": ["AB=2", "A=3"], "Cmd": ["a", "b c"], "Labels": {"x": "y z"},
            "ExposedPorts": {"80/tcp": {}}, "User": "7", "WorkingDir": "/w"});
        assert_eq!(config, expected);
        "CMD echo hi".parse::<Change>().unwrap().apply(&mut config);
        assert_eq!(config["Cmd"], json!(["/bin/sh", "-c", "echo hi"]));
        for text in ["", "CMD", "ENV x", "FROM scratch"] {
            assert!(text.parse::<Change>().is_err(), "{text}");
        }
    }
}
