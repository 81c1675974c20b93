use std::fmt;
use std::str::FromStr as _;

use api_loans::reminders::Channel;

use crate::CareError;

const PUSH_CHARS_MAX: usize = 4_096;

/// Where somebody is reached. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Address(…)")
    }
}

impl Address {
    /// An address that the channel can use: a mailbox (RFC 5321), a number in E.164 form, or a push
    /// token of 1 to 4,096 visible ASCII characters.
    ///
    /// # Errors
    /// [`CareError::Refused`], without the address.
    pub fn new(channel: Channel, text: &str) -> Result<Self, CareError> {
        let (fits, reason) = match channel {
            Channel::InApp => (false, "the inbox needs no address"),
            Channel::Email => (
                text.len() <= 254 && lettre::Address::from_str(text).is_ok(),
                "the address is not a mailbox such as name@host.example",
            ),
            Channel::Sms => (is_e164(text), "a number is + and 7 to 15 digits (E.164)"),
            Channel::Push => (
                (1..=PUSH_CHARS_MAX).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic()),
                "a push token has 1 to 4096 visible ASCII characters",
            ),
        };
        if fits { Ok(Self(text.to_owned())) } else { Err(CareError::Refused(reason)) }
    }

    /// One that was checked before it was stored.
    pub(crate) const fn stored(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_are_checked_and_never_shown() {
        let good = [
            (Channel::Email, "ada@mail.example"),
            (Channel::Sms, "+8613800138000"),
            (Channel::Push, "fcm:abc_123"),
        ];
        for (channel, text) in good {
            let address = Address::new(channel, text).unwrap();
            assert!(!format!("{address:?}").contains(text));
        }
        let bad = [
            (Channel::InApp, "x"),
            (Channel::Email, "ada"),
            (Channel::Email, "ada@mail.example\r\nBcc: all@mail.example"),
            (Channel::Email, ""),
            (Channel::Sms, "13800138000"),
            (Channel::Sms, "+0123456789"),
            (Channel::Sms, "+12 34567890"),
            (Channel::Push, ""),
            (Channel::Push, "a b"),
        ];
        for (channel, text) in bad {
            let refused = Address::new(channel, text).unwrap_err().to_string();
            assert!(text.is_empty() || text == "x" || !refused.contains(text), "{refused}");
        }
    }
}
