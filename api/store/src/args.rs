use uuid::Uuid;

/// A bound value. Made by [`args!`](crate::args) from integers, texts, bytes, UUIDs, booleans and
/// options of them.
#[derive(Clone, Debug)]
pub enum Arg {
    /// `BIGINT`.
    I64(Option<i64>),
    /// `TEXT`.
    Text(Option<String>),
    /// `BLOB` or `BYTEA`.
    Blob(Option<Vec<u8>>),
    /// `BOOLEAN`.
    Bool(Option<bool>),
}

macro_rules! into_arg {
    ($($type:ty => $variant:ident, |$value:ident| $convert:expr;)*) => {$(
        impl From<$type> for Arg {
            fn from($value: $type) -> Self {
                Self::$variant(Some($convert))
            }
        }

        impl From<Option<$type>> for Arg {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value.map(|$value| $convert))
            }
        }
    )*};
}

into_arg! {
    i64 => I64, |value| value;
    i32 => I64, |value| i64::from(value);
    u32 => I64, |value| i64::from(value);
    bool => Bool, |value| value;
    String => Text, |value| value;
    &String => Text, |value| value.clone();
    &str => Text, |value| value.to_owned();
    Uuid => Text, |value| value.to_string();
    Vec<u8> => Blob, |value| value;
    &Vec<u8> => Blob, |value| value.clone();
    &[u8] => Blob, |value| value.to_vec();
    [u8; 16] => Blob, |value| value.to_vec();
    [u8; 32] => Blob, |value| value.to_vec();
}

/// The bound values of a statement, in the order of `$1`, `$2`, ….
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => {
        ::std::vec![$($crate::Arg::from($value)),*]
    };
}
