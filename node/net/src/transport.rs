//! The way to another node: TCP, Noise, admission, Yamux, in that order. Driven by the swarm.

use std::io;
use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p::identity::Keypair;
use libp2p::{Transport, noise, tcp, yamux};
use tokio::sync::mpsc;

use crate::admission::{AdmitError, Doorkeeper, Refusal, Role};
use crate::names;

/// A connection stands after this long, or not at all: TCP, Noise and admission together.
const SET_UP_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes that nobody acknowledges for this long end a connection, in milliseconds: a dead peer must not hold one
/// until the system's own quarter of an hour has passed.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MS: u32 = 10_000;

/// A refusal, told to the driver as it happens.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Where the other side is.
    pub(crate) address: libp2p::Multiaddr,
    /// Whether this node dialled it.
    pub(crate) dialled: bool,
    /// Why.
    pub(crate) refusal: Refusal,
}

/// Builds it. Refusals go to `refused`; when that is full they are dropped, since an outsider decides how many there
/// are.
pub(crate) fn build(
    keypair: &Keypair,
    doorkeeper: Doorkeeper,
    refused: mpsc::Sender<Refused>,
) -> Result<Boxed<(libp2p::PeerId, StreamMuxerBox)>, noise::Error> {
    let noise = noise::Config::new(keypair)?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true));
    let upgraded = tcp.and_then(move |tcp, endpoint| async move {
        limit_silence(&tcp);
        let role = match endpoint {
            ConnectedPoint::Dialer { .. } => Role::Dialer,
            ConnectedPoint::Listener { .. } => Role::Listener,
        };
        // No protocol is negotiated by name: there is one, and the hello says its version.
        let (peer, mut stream) = match role {
            Role::Dialer => noise.upgrade_outbound(tcp, "/noise").await,
            Role::Listener => noise.upgrade_inbound(tcp, "/noise").await,
        }
        .map_err(io::Error::other)?;
        let core = names::to_core(&peer).ok_or_else(|| io::Error::other("its key is not ed25519"))?;
        match doorkeeper.admit(&mut stream, core, role).await {
            Ok(()) => {}
            Err(AdmitError::Refused(refusal)) => {
                let address = endpoint.get_remote_address().clone();
                // A full queue means that refusals are being reported already.
                drop(refused.try_send(Refused { address, dialled: role == Role::Dialer, refusal }));
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal.to_string()));
            }
            Err(AdmitError::Broken(error)) => return Err(error),
        }
        let muxer = match role {
            Role::Dialer => yamux::Config::default().upgrade_outbound(stream, "/yamux/1.0.0").await,
            Role::Listener => yamux::Config::default().upgrade_inbound(stream, "/yamux/1.0.0").await,
        }?;
        Ok::<_, io::Error>((peer, StreamMuxerBox::new(muxer)))
    });
    Ok(TransportTimeout::new(upgraded, SET_UP_DEADLINE).boxed())
}

#[cfg(target_os = "linux")]
fn limit_silence(tcp: &tcp::tokio::TcpStream) {
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&tcp.0, UNACKNOWLEDGED_MS) {
        tracing::debug!(%error, "a connection keeps the system's time-out");
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_silence(_: &tcp::tokio::TcpStream) {}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures::{AsyncWriteExt, StreamExt};
    use libp2p::core::transport::{DialOpts, ListenerId, PortUse, TransportEvent};
    use libp2p::core::{Endpoint, Transport as _};
    use weft_core::PeerId;

    use super::*;
    use crate::config::Admission;

    #[tokio::test]
    async fn random_bytes_after_the_handshake_are_refused() {
        let keypair = names::keypair_of(&[1; 32]);
        let me = names::peer_id_of(&[1; 32]);
        let (refused, mut refusals) = mpsc::channel(1);
        let mut server = build(&keypair, Doorkeeper::new(me, 1, Admission::Open), refused).unwrap();
        server.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let Some(TransportEvent::NewAddress { listen_addr, .. }) = server.next().await else {
            panic!("it listens first");
        };

        let liar = names::keypair_of(&[2; 32]);
        let noise = noise::Config::new(&liar).unwrap();
        let mut tcp = tcp::tokio::Transport::new(tcp::Config::new());
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dial = tcp.dial(listen_addr, options).unwrap();
        let lie = async {
            let (_, mut stream) = noise.upgrade_outbound(dial.await.unwrap(), "/noise").await.unwrap();
            stream.write_all(&[0x5a; 5000]).await.unwrap();
            stream.flush().await.unwrap();
            stream
        };
        let listen = async {
            let event = std::future::poll_fn(|cx| Pin::new(&mut server).poll(cx)).await;
            let TransportEvent::Incoming { upgrade, .. } = event else { panic!("somebody comes in") };
            upgrade.await.map(|(peer, _)| names::to_core(&peer))
        };
        let (_stream, admitted): (_, io::Result<Option<PeerId>>) = tokio::join!(lie, listen);
        assert!(admitted.is_err());
        assert_eq!(refusals.recv().await.unwrap().refusal, Refusal::NotWeft);
    }
}
