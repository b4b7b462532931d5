//! Short strings that are put together.

use core::ffi::CStr;

/// At most 255 bytes and the byte 0 behind them; what is too much is left out.
pub struct Text {
    bytes: [u8; 256],
    length: usize,
}

impl Text {
    pub fn new() -> Text {
        Text { bytes: [0; 256], length: 0 }
    }

    /// The parts, one after the other.
    pub fn of(parts: &[&CStr]) -> Text {
        parts.iter().fold(Text::new(), |text, part| text.and(part.to_bytes()))
    }

    pub fn and(mut self, part: &[u8]) -> Text {
        for byte in part {
            if let Some(place) = self.bytes.get_mut(self.length).filter(|_| self.length < 255) {
                *place = *byte;
                self.length += 1;
            }
        }
        self
    }

    /// The number in decimal digits.
    pub fn number(self, number: usize) -> Text {
        let (mut digits, mut rest, mut at) = ([0u8; 20], number, 20);
        loop {
            at -= 1;
            if let Some(place) = digits.get_mut(at) {
                *place = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
            if rest == 0 {
                return self.and(digits.get(at..).unwrap_or_default());
            }
        }
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub fn c(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

/// The decimal number at the beginning of `text`.
pub fn number(text: &[u8]) -> usize {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}
