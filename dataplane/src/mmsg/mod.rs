//! mmsg
