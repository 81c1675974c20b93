//! Connection to a bitcoin node.
