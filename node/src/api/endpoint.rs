//! The API's address and token, as files in the data directory that only its user can read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use weft_client::api::Endpoint;

const TOKEN_BYTES: usize = 32;
const PRIVATE: u32 = 0o600;

/// Opens the API's socket.
///
/// # Errors
/// When the address is not loopback ([`io::ErrorKind::InvalidInput`]), or is taken.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the API listens on this machine only: {address} is not a loopback address"),
        ));
    }
    TcpListener::bind(address).await
}

/// The API's token: kept in `<data_dir>/api.token`, made when it is missing or is none.
///
/// # Errors
/// When the file can't be read or written, or the system has no randomness.
pub fn load_or_make_token(data_dir: &Path) -> io::Result<String> {
    let path = data_dir.join("api.token");
    match fs::read_to_string(&path) {
        Ok(text) if is_token(text.trim()) => return Ok(text.trim().to_owned()),
        // A crash may have left half of one, which is not used.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    write_private(&path, token.as_bytes())?;
    Ok(token)
}

fn is_token(text: &str) -> bool {
    text.len() == TOKEN_BYTES * 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// What clients find in the data directory: `api.json`, removed when this is dropped.
pub struct Published {
    path: PathBuf,
    token: String,
}

impl Published {
    /// The token that clients show.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

/// The token is left out.
impl std::fmt::Debug for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Tells clients of this data directory where the API listens, and the token to it.
///
/// # Errors
/// As [`load_or_make_token`], and when `<data_dir>/api.json` can't be written.
pub fn publish(data_dir: &Path, listener: &TcpListener) -> io::Result<Published> {
    let token = load_or_make_token(data_dir)?;
    let path = data_dir.join("api.json");
    let address = listener.local_addr()?.to_string();
    let mut text = serde_json::to_vec(&Endpoint { address, token: token.clone(), pid: std::process::id() })?;
    text.push(b'\n');
    write_private(&path, &text)?;
    Ok(Published { path, token })
}

impl Drop for Published {
    fn drop(&mut self) {
        // If it is gone already, all is well; if it stays, clients find no node at its address.
        drop(fs::remove_file(&self.path));
    }
}

/// Writes a file that only its user can read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = path.with_extension("new");
    // A leftover may have another mode, and the mode counts only at creation.
    match fs::remove_file(&temp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temp, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn clients_find_the_api_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let published = publish(dir.path(), &listener).unwrap();
        let file = dir.path().join("api.json");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, PRIVATE);
        let endpoint: Endpoint = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(endpoint.token, published.token());
        assert_eq!(endpoint.address, listener.local_addr().unwrap().to_string());
        let token = published.token().to_owned();
        drop(published);
        assert!(!file.exists());
        assert_eq!(load_or_make_token(dir.path()).unwrap(), token, "the token outlives a restart");
    }

    #[tokio::test]
    async fn only_loopback_is_bound() {
        let error = bind("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
