//! libp2p in, core words out.
