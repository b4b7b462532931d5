//! Compares JSON text with the tables of [`schema`](super::schema), in one pass that keeps nothing.
//!
//! The types behind the configuration let much through (a missing number is 0) and name Rust's types when they do not.

use std::borrow::Cow;
use std::fmt;

use coracle_plan::invalid::{self, Invalid};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::schema::{Field, Need, Shape};

/// Why a text is not what it should be.
#[derive(Debug)]
pub enum Refusal {
    /// It is not JSON.
    Syntax(serde_json::Error),
    /// A value is wrong.
    Value(Invalid),
}

/// Compares `text` with `shape`.
///
/// # Errors
/// [`Refusal`] for the first thing that does not fit.
pub fn check(text: &str, shape: &'static Shape) -> Result<(), Refusal> {
    let mut found = None;
    let mut input = serde_json::Deserializer::from_str(text);
    let outcome = Part { shape, found: &mut found }.deserialize(&mut input).and_then(|_| input.end());
    match (outcome, found) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(Found { trail, problem })) => {
            Err(Refusal::Value(Invalid::new(trail.into_iter().rev().collect::<String>(), problem)))
        }
        (Err(error), None) => Err(Refusal::Syntax(error)),
    }
}

/// A problem, and the way to it: the parts of its pointer, the innermost first.
struct Found {
    trail: Vec<String>,
    problem: String,
}

/// What a value turned out to be, as far as its surroundings care.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    Null,
    /// The word of this number in its table.
    Word(usize),
    Other,
}

/// One value to compare with its shape.
struct Part<'f> {
    shape: &'static Shape,
    found: &'f mut Option<Found>,
}

impl Part<'_> {
    fn refuse<E: Error>(self, problem: String) -> E {
        *self.found = Some(Found { trail: Vec::new(), problem });
        E::custom("")
    }

    fn mismatch<E: Error>(self, what: impl fmt::Display) -> E {
        let wanted = match self.shape {
            Shape::Bool => "true or false",
            Shape::Number(..) => "a whole number",
            Shape::Text | Shape::Form(_) | Shape::Word(_) => "a string",
            Shape::List(_) | Shape::Filled(_) => "a list",
            Shape::Map(_) | Shape::Object(_) => "an object",
        };
        self.refuse(format!("must be {wanted}, not {what}"))
    }

    fn number<E: Error>(self, number: i128) -> Result<Value, E> {
        match *self.shape {
            Shape::Number(low, high) if (i128::from(low)..=i128::from(high)).contains(&number) => Ok(Value::Other),
            Shape::Number(low, high) => Err(self.refuse(format!("must be from {low} to {high}, not {number}"))),
            _ => Err(self.mismatch("a number")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        if matches!(self.shape, Shape::Bool) { Ok(Value::Other) } else { Err(self.mismatch(value)) }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.number(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.number(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Err(match *self.shape {
            // Whole numbers come as this when they do not fit into 64 bits.
            Shape::Number(low, high) if value.abs() >= i64::MAX as f64 => {
                self.refuse(format!("must be from {low} to {high}, not {value:e}"))
            }
            Shape::Number(..) => self.mismatch(value),
            _ => self.mismatch("a number"),
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        if text.contains('\0') {
            return Err(self.refuse("contains a NUL byte".to_owned()));
        }
        match *self.shape {
            Shape::Text => Ok(Value::Other),
            Shape::Form(problem) => match problem(text) {
                Some(problem) => Err(self.refuse(problem)),
                None => Ok(Value::Other),
            },
            Shape::Word(words) => match words.iter().position(|word| *word == text) {
                Some(number) => Ok(Value::Word(number)),
                None => {
                    let known: Vec<_> = words.iter().copied().filter(|word| !word.is_empty()).collect();
                    Err(self.refuse(format!("unknown value {}, known are {}", brief(text), known.join(", "))))
                }
            },
            _ => Err(self.mismatch(format_args!("the string {}", brief(text)))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let (Shape::List(item) | Shape::Filled(item)) = *self.shape else { return Err(self.mismatch("a list")) };
        let mut index = 0;
        loop {
            match list.next_element_seed(Part { shape: item, found: self.found }) {
                Ok(None) => break,
                Ok(Some(Value::Null)) => {
                    let refused = Part { shape: item, found: self.found }.mismatch("null");
                    return Err(inside(self.found, refused, || index.to_string()));
                }
                Ok(Some(_)) => index += 1,
                Err(error) => return Err(inside(self.found, error, || index.to_string())),
            }
        }
        if index == 0 && matches!(self.shape, Shape::Filled(_)) {
            return Err(self.refuse("must not be empty".to_owned()));
        }
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        match *self.shape {
            Shape::Object(fields) => object(map, fields, self.found),
            Shape::Map(item) => entries(map, item, self.found),
            _ => Err(self.mismatch("an object")),
        }
    }
}

/// Adds a part of the pointer on the way out.
fn inside<E>(found: &mut Option<Found>, error: E, name: impl FnOnce() -> String) -> E {
    if let Some(found) = found {
        found.trail.push(format!("/{}", invalid::escape(&name())));
    }
    error
}

fn object<'de, A: MapAccess<'de>>(
    mut map: A,
    fields: &'static [Field],
    found: &mut Option<Found>,
) -> Result<Value, A::Error> {
    let (mut seen, mut given, mut fifo) = (0u32, 0u32, false);
    let mut next = 0;
    while let Some(member) = map.next_key_seed(Name { fields, next })? {
        let Some(index) = member else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        let (field, bit) = (&fields[index], 1 << index);
        next = index + 1;
        if seen & bit != 0 {
            let refused = Part { shape: &field.shape, found }.refuse("is given twice".to_owned());
            return Err(inside(found, refused, || field.name.to_owned()));
        }
        seen |= bit;
        match map.next_value_seed(Part { shape: &field.shape, found }) {
            Ok(Value::Null) => {}
            Ok(value) => {
                given |= bit;
                fifo |= field.name == "type"
                    && matches!((&field.shape, value), (Shape::Word(words), Value::Word(n)) if words[n] == "p");
            }
            Err(error) => return Err(inside(found, error, || field.name.to_owned())),
        }
    }
    for (index, field) in fields.iter().enumerate() {
        let problem = match field.need {
            Need::Required(problem) => problem,
            Need::UnlessFifo if !fifo => "must be given",
            _ => continue,
        };
        if given & (1 << index) == 0 {
            let refused = Part { shape: &field.shape, found }.refuse(problem.to_owned());
            return Err(inside(found, refused, || field.name.to_owned()));
        }
    }
    Ok(Value::Other)
}

fn entries<'de, A: MapAccess<'de>>(
    mut map: A,
    item: &'static Shape,
    found: &mut Option<Found>,
) -> Result<Value, A::Error> {
    let mut names: Vec<Cow<'de, str>> = Vec::new();
    while let Some(name) = map.next_key_seed(Text)? {
        let problem = match &*name {
            "" => Some("a name must not be empty"),
            name if name.contains('\0') => Some("a name contains a NUL byte"),
            name if names.iter().any(|other| other == name) => Some("is given twice"),
            _ => None,
        };
        let outcome = match problem {
            Some(problem) => Err(Part { shape: item, found }.refuse(problem.to_owned())),
            None => map.next_value_seed(Part { shape: item, found }),
        };
        match outcome {
            // Without a value an object is one without members; a string is none at all.
            Ok(Value::Null) if !matches!(item, Shape::Object(_)) => {
                let refused = Part { shape: item, found }.mismatch("null");
                return Err(inside(found, refused, || name.into_owned()));
            }
            Ok(_) => names.push(name),
            Err(error) => return Err(inside(found, error, || name.into_owned())),
        }
    }
    Ok(Value::Other)
}

/// The name of a member, as its place in the table; most files have the order of the tables.
struct Name {
    fields: &'static [Field],
    next: usize,
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let (before, after) = self.fields.split_at(self.next.min(self.fields.len()));
        let found = |fields: &[Field]| fields.iter().position(|field| field.name == name);
        Ok(found(after).map(|index| index + before.len()).or_else(|| found(before)))
    }
}

/// A name that is borrowed from the text when it has no escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Text in quotes, without line ends, and not too much of it.
fn brief(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
