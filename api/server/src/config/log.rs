use api_verify::note::VerifierKey;
use serde::Deserialize;

/// The audit log and its anchors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// The origin line of the log, a name that is yours, such as `bank.example/log`.
    pub origin: String,
    /// How often new records get a signed checkpoint.
    #[serde(default = "default_checkpoint_ms")]
    pub checkpoint_ms: u64,
    /// Whether each tenant has a log of its own, `<origin>/<tenant>`.
    #[serde(default)]
    pub per_tenant: bool,
    /// How often the newest checkpoint is anchored, when it is new.
    #[serde(default = "default_anchor_ms")]
    pub anchor_ms: u64,
    /// Anchor sooner, as soon as so many leaves are new.
    #[serde(default)]
    pub anchor_records: Option<u64>,
    /// An anchor that is in no block after this long is sent again with a higher fee, up to the
    /// chain's `fee_max`.
    #[serde(default = "default_anchor_bump_ms")]
    pub anchor_bump_ms: u64,
    /// On how many chains each checkpoint is to be; all that anchor, when absent.
    #[serde(default)]
    pub anchor_chains_min: Option<u32>,
    /// Within how long. An alarm is raised when it takes longer.
    #[serde(default = "default_anchor_deadline_ms")]
    pub anchor_deadline_ms: u64,
    /// Who is asked to cosign every checkpoint.
    #[serde(default)]
    pub witnesses: Vec<WitnessConfig>,
    /// How many of them are to cosign a checkpoint before its records are `witnessed`; all, when absent.
    #[serde(default)]
    pub witnesses_min: Option<u32>,
}

/// A witness of the log (C2SP `tlog-witness`), run by somebody else.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// What it is called in logs and metrics.
    pub name: String,
    /// Its submission prefix, to which `/add-checkpoint` is added.
    pub url: String,
    /// Its verifier key; other signatures in its answers are not kept.
    pub key: VerifierKey,
    /// A witness that knows a log not yet is shown its checkpoints from this size on; the newest one
    /// alone, when absent.
    #[serde(default)]
    pub from_size: Option<u64>,
}

const fn default_checkpoint_ms() -> u64 {
    1_000
}

const fn default_anchor_ms() -> u64 {
    600_000
}

const fn default_anchor_bump_ms() -> u64 {
    900_000
}

const fn default_anchor_deadline_ms() -> u64 {
    7_200_000
}
