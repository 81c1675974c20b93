//! Connection to a solana node.
