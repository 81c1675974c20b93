//! Connection to a evm node.
