//! The control plane of Sluice.
