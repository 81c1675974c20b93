use std::path::Path;

use super::ConfigError;

/// Sets the value at `path` (`SERVER__LISTEN`, `CHAINS__0__RPC_URL`) to `text`, read as the kind of
/// value that stands there, or as TOML, or as a string.
pub(super) fn overlay(value: &mut toml::Value, path: &str, text: &str) -> Result<(), String> {
    let mut place = value;
    for step in path.to_lowercase().split("__") {
        place = match place {
            toml::Value::Table(table) => table
                .entry(step.to_owned())
                .or_insert_with(|| toml::Value::Table(toml::Table::new())),
            toml::Value::Array(items) => {
                let position: usize =
                    step.parse().map_err(|_| format!("{step:?} is no position in a list"))?;
                items.get_mut(position).ok_or_else(|| format!("there is no item {position}"))?
            }
            _ => return Err("it names a part of a simple value".into()),
        };
    }
    *place = parse_value(place, text);
    Ok(())
}

fn parse_value(old: &toml::Value, text: &str) -> toml::Value {
    if old.is_str() {
        return toml::Value::String(text.to_owned());
    }
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}"));
    let value = parsed.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

pub(super) fn read(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file)
        .map_err(|reason| ConfigError::Read { file: file.to_owned(), reason })
}

/// The first line of a file that holds a secret.
///
/// # Errors
/// [`ConfigError`] when it cannot be read or is empty.
pub(crate) fn read_secret(file: &Path) -> Result<String, ConfigError> {
    let text = read(file)?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(ConfigError::Invalid(format!("{} is empty", file.display())));
    }
    Ok(line.to_owned())
}
