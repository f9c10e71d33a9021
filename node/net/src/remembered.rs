//! Peers of the last run, in a text file: one line for each peer, `ID ADDRESS ADDRESS..`. A hint only: a file that is
//! broken or missing does no harm.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use libp2p::Multiaddr;
use weft_core::PeerId;

use crate::places::ADDRESSES_MAX;

/// Most peers in the file, the latest first.
pub(crate) const PEERS_MAX: usize = 256;
const FILE_BYTES_MAX: u64 = 512 << 10;

/// Loads the peers of the lines that are valid.
pub(crate) fn load(path: &Path) -> Vec<(PeerId, Vec<Multiaddr>)> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "remembered peers can't be read and are forgotten");
            Vec::new()
        }
    }
}

/// Writes a temporary file and renames it, so that a crash leaves the old file or the new one.
pub(crate) fn save(path: &Path, peers: &[(PeerId, Vec<Multiaddr>)]) -> io::Result<()> {
    let mut text = String::new();
    for (peer, addresses) in peers.iter().take(PEERS_MAX) {
        write!(text, "{peer}").map_err(io::Error::other)?;
        for address in addresses {
            write!(text, " {address}").map_err(io::Error::other)?;
        }
        text.push('\n');
    }
    let beside = path.with_extension("new");
    // A leftover may have another mode, and a mode is set only at creation.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(&beside, path)
}

fn parse(text: &str) -> Vec<(PeerId, Vec<Multiaddr>)> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let peer = words.next()?.parse().ok()?;
        let addresses: Vec<_> = words.filter_map(|word| word.parse().ok()).take(ADDRESSES_MAX).collect();
        (!addresses.is_empty()).then_some((peer, addresses))
    };
    text.lines().filter_map(line).take(PEERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_rubbish_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers");
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/7117".parse().unwrap();
        let peers = vec![(PeerId([1; 32]), vec![address.clone()]), (PeerId([2; 32]), vec![address])];
        save(&path, &peers).unwrap();
        assert_eq!(load(&path), peers);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "it names machines; only its user may read it");
        let mut text = fs::read_to_string(&path).unwrap();
        text.insert_str(0, "rubbish\n\n0101 /ip4/1.1.1.1/tcp/1\n");
        fs::write(&path, text).unwrap();
        assert_eq!(load(&path), peers);
        fs::remove_file(&path).unwrap();
        assert_eq!(load(&path), []);
    }
}
