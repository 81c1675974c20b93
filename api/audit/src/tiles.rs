//! C2SP `tlog-tiles`: the log as static resources.

use std::path::Path;

use api_store::Tx;

use crate::repo::{records, trees};
use crate::tree::TILE_WIDTH;
use crate::{AuditError, AuditLog};

/// A resource under the log's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileRequest {
    /// `tile/<L>/<N>[.p/<W>]`.
    Hashes {
        /// `L`.
        level: u32,
        /// `N`.
        tile: u64,
        /// `W`; 256 for a full tile.
        width: u64,
    },
    /// `tile/entries/<N>[.p/<W>]`.
    Entries {
        /// `N`.
        tile: u64,
        /// `W`; 256 for a full bundle.
        width: u64,
    },
}

impl TileRequest {
    /// Reads a path such as `tile/0/x001/x234/067.p/8`; `None` for all that the specification does
    /// not allow.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, canonical(width).filter(|w| (1..256).contains(w))?),
            None => (rest, TILE_WIDTH),
        };
        let tile = tile_number(number)?;
        if level == "entries" {
            return Some(Self::Entries { tile, width });
        }
        let level = canonical(level).filter(|level| *level < 64)?;
        Some(Self::Hashes { level: u32::try_from(level).ok()?, tile, width })
    }

    const fn is_full(&self) -> bool {
        let (Self::Hashes { width, .. } | Self::Entries { width, .. }) = self;
        *width == TILE_WIDTH
    }

    /// The path; the opposite of [`TileRequest::parse`].
    #[must_use]
    pub fn path(&self) -> String {
        let (level, tile, width) = match self {
            Self::Hashes { level, tile, width } => (level.to_string(), tile, width),
            Self::Entries { tile, width } => ("entries".to_owned(), tile, width),
        };
        let mut number = format!("{:03}", tile % 1_000);
        let mut rest = tile / 1_000;
        while rest > 0 {
            number = format!("x{:03}/{number}", rest % 1_000);
            rest /= 1_000;
        }
        let part = if *width < TILE_WIDTH { format!(".p/{width}") } else { String::new() };
        format!("tile/{level}/{number}{part}")
    }
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), AuditError> {
    let folder = path.parent().unwrap_or(path);
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path.with_extension("new"), bytes))
        .and_then(|()| std::fs::rename(path.with_extension("new"), path));
    written.map_err(|error| AuditError::Export(format!("{}: {error}", path.display())))
}

fn canonical(number: &str) -> Option<u64> {
    number.parse().ok().filter(|value: &u64| value.to_string() == number)
}

fn tile_number(path: &str) -> Option<u64> {
    let mut parts: Vec<&str> = path.split('/').collect();
    let last = parts.pop()?;
    let mut value: u64 = 0;
    for (position, part) in parts.iter().enumerate() {
        let digits = part.strip_prefix('x')?;
        // No leading group of zeros: each number has one path.
        if position == 0 && digits == "000" {
            return None;
        }
        value = value.checked_mul(1_000)?.checked_add(three_digits(digits)?)?;
    }
    value.checked_mul(1_000)?.checked_add(three_digits(last)?)
}

fn three_digits(digits: &str) -> Option<u64> {
    let plain = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

impl AuditLog {
    /// The bytes of a tile or bundle; `None` where the log is not that large.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn tile(
        &self,
        tx: &mut Tx,
        request: TileRequest,
    ) -> Result<Option<Vec<u8>>, AuditError> {
        match request {
            TileRequest::Hashes { level, tile, width } => {
                let bytes = trees::tile(tx, self.id, (level, tile)).await?;
                let length = usize::try_from(width * 32).unwrap_or(usize::MAX);
                Ok(bytes.and_then(|mut bytes| {
                    bytes.truncate(length);
                    (bytes.len() == length).then_some(bytes)
                }))
            }
            TileRequest::Entries { tile, width } => {
                let Some(from) = tile.checked_mul(TILE_WIDTH) else { return Ok(None) };
                let rows = records::by_range(tx, self.id, from, from + width).await?;
                if rows.len() as u64 != width {
                    return Ok(None);
                }
                let mut bundle = Vec::new();
                for row in rows {
                    let length = u16::try_from(row.leaf.len());
                    let length = length.map_err(|_| AuditError::damaged("a leaf is too long"))?;
                    bundle.extend(length.to_be_bytes());
                    bundle.extend(row.leaf);
                }
                Ok(Some(bundle))
            }
        }
    }

    /// Writes the log at its newest checkpoint as static files into `folder`: what a C2SP
    /// `tlog-tiles` server would serve, and `roadstead-verify --log` audits. Files of full tiles
    /// that are there already are left alone. Answers the size; `None` without a checkpoint.
    ///
    /// # Errors
    /// [`AuditError::Store`], [`AuditError::Export`]; a damaged log is not exported whole.
    pub async fn export(&self, tx: &mut Tx, folder: &Path) -> Result<Option<u64>, AuditError> {
        let Some(checkpoint) = self.latest_checkpoint(tx).await? else { return Ok(None) };
        for request in Self::resources(checkpoint.size) {
            let path = folder.join(request.path());
            if request.is_full() && path.exists() {
                continue;
            }
            let bytes = self.tile(tx, request).await?;
            let bytes = bytes.ok_or_else(|| AuditError::damaged(request.path()))?;
            write(&path, &bytes)?;
        }
        // Last, so that whoever sees the checkpoint finds all that it stands for.
        write(&folder.join("checkpoint"), checkpoint.note.as_bytes())?;
        Ok(Some(checkpoint.size))
    }

    /// Every resource of the tree of `size` leaves but the checkpoint, for an export as files.
    #[must_use]
    pub fn resources(size: u64) -> Vec<TileRequest> {
        let mut requests = Vec::new();
        let (mut level, mut width) = (0, size);
        while width > 0 {
            let (full, part) = (width / TILE_WIDTH, width % TILE_WIDTH);
            let tiles = (0..full).map(|tile| (tile, TILE_WIDTH));
            for (tile, width) in tiles.chain((part > 0).then_some((full, part))) {
                requests.push(TileRequest::Hashes { level, tile, width });
                if level == 0 {
                    requests.push(TileRequest::Entries { tile, width });
                }
            }
            level += 1;
            width = full;
        }
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let request = TileRequest::Hashes { level: 3, tile: 1_234_067, width: 8 };
        assert_eq!(request.path(), "tile/3/x001/x234/067.p/8");
        let request = TileRequest::Entries { tile: 0, width: 256 };
        assert_eq!(request.path(), "tile/entries/000");
        for request in AuditLog::resources(70_000) {
            assert_eq!(TileRequest::parse(&request.path()), Some(request));
        }
    }

    #[test]
    fn other_paths_are_none() {
        for path in [
            "tile/00/000",
            "tile/64/000",
            "tile/0/0",
            "tile/0/x000/001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/08",
            "tile/x/000",
            "tile/0/1000",
            "tile/0/x1/000",
            "tile/0/",
            "tile/0/000/",
            "tile/-1/000",
            "tile/0/+01",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(TileRequest::parse(path), None, "{path}");
        }
    }
}
