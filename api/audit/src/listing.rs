//! A tenant's records by their kinds, each checked against its leaf.

use std::collections::BTreeMap;

use api_store::Tx;
use api_verify::merkle::leaf_hash;

use crate::log::AuditLog;
use crate::record::{Fields, leaf_holds};
use crate::repo::records::Row;
use crate::repo::{listing, records, trees};
use crate::tree::TILE_WIDTH;
use crate::{AuditError, RecordId};

/// A record with its open fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: RecordId,
    /// Its index, once it has one.
    pub index: Option<u64>,
    /// What is not personal, by name: `kind` and `time` among them.
    pub fields: BTreeMap<String, String>,
}

impl Listed {
    /// A field; empty when the record has none of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

fn listed(row: &Row) -> Result<Listed, AuditError> {
    let id = row.id()?;
    let fields = Fields::from_bytes(&row.open_fields)?;
    if !leaf_holds(&row.leaf, &[&fields], false) {
        return Err(AuditError::damaged(format!("the fields of the record {id}")));
    }
    Ok(Listed { id, index: row.index()?, fields: fields.values })
}

impl AuditLog {
    /// A tenant's records with an index below `size` whose kinds begin with one of `prefixes`, in the
    /// order of the log. Each is compared with its leaf, and its leaf with the log's.
    ///
    /// # Errors
    /// [`AuditError::Store`], also when a record is not the one that was logged.
    pub async fn records_before(
        &self,
        tx: &mut Tx,
        tenant: &str,
        prefixes: &[&str],
        size: u64,
    ) -> Result<Vec<Listed>, AuditError> {
        let mut found = Vec::new();
        let mut tile: (Option<u64>, Vec<u8>) = (None, Vec::new());
        for row in listing::before(tx, self.id, tenant, prefixes, size).await? {
            let one = listed(&row)?;
            let index = one.index.unwrap_or(u64::MAX);
            let number = index / TILE_WIDTH;
            if tile.0 != Some(number) {
                let bytes = trees::tile(tx, self.id, (0, number)).await?;
                tile = (Some(number), bytes.unwrap_or_default());
            }
            let place = usize::try_from(index % TILE_WIDTH).unwrap_or_default();
            if tile.1.chunks(32).nth(place) != Some(leaf_hash(&row.leaf).as_slice()) {
                return Err(AuditError::damaged(format!("the record with index {index}")));
            }
            found.push(one);
        }
        Ok(found)
    }

    /// A tenant's newest records of a kind, the newest first: at most `limit`, older than the record
    /// `before`.
    ///
    /// # Errors
    /// [`AuditError::Store`].
    pub async fn newest_records(
        &self,
        tx: &mut Tx,
        tenant: &str,
        kind: &str,
        before: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<Listed>, AuditError> {
        let rows = listing::newest(tx, self.id, tenant, kind, before, limit).await?;
        rows.iter().map(listed).collect()
    }

    /// When the checkpoint of `size` leaves was made, as its last record says: RFC 3339.
    ///
    /// # Errors
    /// [`AuditError::Store`]; [`AuditError::OutOfRange`].
    pub async fn time_of(&self, tx: &mut Tx, size: u64) -> Result<String, AuditError> {
        let last = size.checked_sub(1).ok_or(AuditError::OutOfRange { wanted: 0, size })?;
        let row = records::by_index(tx, self.id, last).await?;
        Ok(listed(&row)?.field("time").to_owned())
    }
}
