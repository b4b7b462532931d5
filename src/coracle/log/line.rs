//! One entry of the log, in the shapes that callers of container runtimes parse: those of Go's `logrus`.

use std::fmt::Write;

use tracing::Level;

use super::Format;

/// An entry.
pub struct Line<'a> {
    /// When, as RFC 3339.
    pub time: &'a str,
    /// How bad.
    pub level: Level,
    /// What.
    pub message: &'a str,
    /// Module and `file:line`, when that is wanted.
    pub caller: Option<(&'a str, &'a str)>,
    /// Further facts by name.
    pub fields: &'a [(&'a str, Value)],
}

/// A fact.
#[derive(Debug, Clone)]
pub enum Value {
    /// Quoted in JSON.
    Text(String),
    /// A number or a truth value: the same in both shapes.
    Plain(String),
}

impl Line<'_> {
    /// The entry as the log wants it.
    pub fn shaped(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Json => self.json(),
        }
    }

    /// `time="…" level=error msg="…" key=value`, values quoted where they must be.
    fn text(&self) -> String {
        let mut line = String::with_capacity(64 + self.message.len());
        let mut pair = |key: &str, value: &str| {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(key);
            line.push('=');
            push_quoted_if_needed(&mut line, value);
        };
        pair("time", self.time);
        pair("level", name(self.level));
        pair("msg", self.message);
        if let Some((func, file)) = self.caller {
            pair("func", func);
            pair("file", file);
        }
        for (key, value) in self.sorted() {
            pair(key, value.as_str());
        }
        line.push('\n');
        line
    }

    /// One object with its keys sorted.
    fn json(&self) -> String {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut pairs = self.sorted();
        pairs.extend([("time", text(self.time)), ("level", text(name(self.level))), ("msg", text(self.message))]);
        if let Some((func, file)) = self.caller {
            pairs.extend([("func", text(func)), ("file", text(file))]);
        }
        pairs.sort_by(|a, b| a.0.cmp(b.0));
        let mut line = String::with_capacity(64 + self.message.len());
        for (key, value) in pairs {
            line.push(if line.is_empty() { '{' } else { ',' });
            push_json(&mut line, key);
            line.push(':');
            match value {
                Value::Text(text) => push_json(&mut line, &text),
                Value::Plain(text) => line.push_str(&text),
            }
        }
        line.push_str("}\n");
        line
    }

    /// What a person at a terminal reads.
    pub fn plain(&self) -> String {
        let mut line = format!("coracle: {}: {}", name(self.level), self.message);
        for (key, value) in self.sorted() {
            line.push_str(&format!(" {key}={}", value.as_str()));
        }
        line.push('\n');
        line
    }

    /// The fields by name; one that would hide a key of the entry itself is renamed.
    fn sorted(&self) -> Vec<(&str, Value)> {
        let rename = |key| match key {
            "time" => "fields.time",
            "level" => "fields.level",
            "msg" => "fields.msg",
            "func" => "fields.func",
            "file" => "fields.file",
            other => other,
        };
        let mut fields: Vec<_> = self.fields.iter().map(|(key, value)| (rename(*key), value.clone())).collect();
        fields.sort_by(|a, b| a.0.cmp(b.0));
        fields
    }
}

impl Value {
    fn as_str(&self) -> &str {
        match self {
            Value::Text(text) | Value::Plain(text) => text,
        }
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::TRACE => "trace",
        Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warning",
        Level::ERROR => "error",
    }
}

fn push_json(line: &mut String, text: &str) {
    line.push_str(&serde_json::Value::from(text).to_string());
}

fn push_quoted_if_needed(line: &mut String, value: &str) {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if value.chars().all(bare) {
        line.push_str(value);
        return;
    }
    line.push('"');
    for c in value.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(line, "\\x{:02x}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(line, "\\u{:04x}", c as u32);
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-22T01:34:56Z";

    fn line<'a>(message: &'a str, fields: &'a [(&'a str, Value)]) -> Line<'a> {
        Line { time: TIME, level: Level::ERROR, message, caller: None, fields }
    }

    #[test]
    fn text() {
        let cases = [
            ("plain", "plain"),
            ("/a/b-c_d.e@f^g+", "/a/b-c_d.e@f^g+"),
            ("", ""),
            ("two words", "\"two words\""),
            ("say \"hi\" \\ bye", r#""say \"hi\" \\ bye""#),
            ("a\nb\tc\rd", r#""a\nb\tc\rd""#),
            ("\0\x1b\u{85}é", "\"\\x00\\x1b\\u0085é\""),
            ("a=b", "\"a=b\""),
        ];
        for (message, quoted) in cases {
            let expected = format!("time=\"{TIME}\" level=error msg={quoted}\n");
            assert_eq!(line(message, &[]).text(), expected);
        }
    }

    #[test]
    fn json() {
        assert_eq!(
            line("container does not exist", &[]).json(),
            "{\"level\":\"error\",\"msg\":\"container does not exist\",\"time\":\"2026-11-22T01:34:56Z\"}\n"
        );
        assert!(line("a\n\"b\"\u{1}", &[]).json().contains(r#""msg":"a\n\"b\"\u0001""#));
    }

    #[test]
    fn fields_are_sorted_and_hide_nothing() {
        let fields =
            [("pid", Value::Plain("7".into())), ("msg", Value::Text("x y".into())), ("a", Value::Text("b".into()))];
        let mut entry = line("m", &fields);
        entry.caller = Some(("coracle::cli", "src/coracle/cli.rs:3"));
        assert_eq!(
            entry.json(),
            "{\"a\":\"b\",\"fields.msg\":\"x y\",\"file\":\"src/coracle/cli.rs:3\",\"func\":\"coracle::cli\",\
             \"level\":\"error\",\"msg\":\"m\",\"pid\":7,\"time\":\"2026-11-22T01:34:56Z\"}\n"
        );
        assert_eq!(
            entry.text(),
            format!(
                "time=\"{TIME}\" level=error msg=m func=\"coracle::cli\" file=\"src/coracle/cli.rs:3\" \
                 a=b fields.msg=\"x y\" pid=7\n"
            )
        );
    }

    #[test]
    fn for_people() {
        let mut entry = line("cannot set memory.max", &[]);
        entry.level = Level::WARN;
        assert_eq!(entry.plain(), "coracle: warning: cannot set memory.max\n");
    }
}
