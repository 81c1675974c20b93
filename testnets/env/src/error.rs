use std::path::PathBuf;

/// What went wrong with a local network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that is needed is neither there nor could it be made.
    #[error("{name} cannot be provided: {reason}\n{hint}")]
    Provision {
        /// The node program.
        name: &'static str,
        /// What failed.
        reason: String,
        /// What the user can do.
        hint: String,
    },
    /// Somebody else listens on the port.
    #[error(
        "port {port} ({what}) is taken by another program; stop it or choose another port with {flag}"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// What it was wanted for.
        what: &'static str,
        /// The option that changes it.
        flag: &'static str,
    },
    /// No free port was found.
    #[error("no free port between {from} and {to}")]
    NoPort {
        /// First port tried.
        from: u16,
        /// Last port tried.
        to: u16,
    },
    /// The node stopped by itself.
    #[error("{name} stopped while starting; its last words:\n{log}")]
    Stopped {
        /// The node program.
        name: &'static str,
        /// The end of its log.
        log: String,
    },
    /// The node runs but does not answer.
    #[error("{name} did not answer within {seconds} s: {last}")]
    NotReady {
        /// The node program.
        name: &'static str,
        /// How long was waited.
        seconds: u64,
        /// The last error.
        last: String,
    },
    /// The network was not asked for when the environment was built.
    #[error("this environment has no {0} network: add it to the builder")]
    Absent(&'static str),
    /// No connection, or no JSON-RPC answer.
    #[error("{method} at {url}: {reason}")]
    Transport {
        /// The method called.
        method: String,
        /// Where.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The node answered with an error.
    #[error("{method}: the node says {message} (code {code})")]
    Rpc {
        /// The method called.
        method: String,
        /// The JSON-RPC error code.
        code: i64,
        /// The node's words.
        message: String,
    },
    /// The request makes no sense on this network.
    #[error("{0}")]
    Refused(String),
    /// A file or process operation failed.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Names the path in an input or output error.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { path, source }
}
