//! The transport: TCP, Noise, admission, Yamux, in that order. Driven by the swarm.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, Transport, noise, tcp, yamux};
use tokio::sync::mpsc;
use tokio::time::Instant;
use weft_core::PeerId;

use crate::address::socket_of;
use crate::admission::{AdmitError, Doorkeeper, Refusal, Role};
use crate::gate::Gate;
use crate::{names, zone};

/// Longest time to set up a connection: TCP, Noise and admission together.
const SET_UP_DEADLINE: Duration = Duration::from_secs(5);
/// Unacknowledged TCP data closes a connection after this time, in milliseconds: a dead peer must not hold one for the
/// kernel's default of a quarter of an hour.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MS: u32 = 10_000;

/// A refusal, for the driver.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The authenticated peer.
    pub(crate) peer: PeerId,
    /// Address of the other side.
    pub(crate) address: Multiaddr,
    /// Whether this node dialled it.
    pub(crate) dialled: bool,
    /// The reason.
    pub(crate) refusal: Refusal,
}

/// Builds the transport. Refusals go to `refused`; dropped when that is full, since an outsider controls their number.
pub(crate) fn build(
    keypair: &Keypair,
    doorkeeper: Doorkeeper,
    gate: Arc<Gate>,
    refused: mpsc::Sender<Refused>,
) -> Result<Boxed<(libp2p::PeerId, StreamMuxerBox)>, noise::Error> {
    let noise = noise::Config::new(keypair)?;
    let tcp = ZonedTcp(tcp::tokio::Transport::new(tcp::Config::new().nodelay(true)));
    let upgraded = tcp.and_then(move |tcp, endpoint| {
        let set_up = SetUp { noise, doorkeeper, refused };
        async move {
            limit_silence(&tcp);
            let ConnectedPoint::Listener { ref send_back_addr, .. } = endpoint else {
                return set_up.run(tcp, endpoint).await;
            };
            let full =
                || io::Error::new(io::ErrorKind::ResourceBusy, "too many connections are being set up");
            let ip = socket_of(send_back_addr).ok_or(io::ErrorKind::InvalidInput)?.ip();
            let pass = gate.enter(ip, Instant::now()).ok_or_else(full)?;
            let guest = async {
                // The dialler sends first. Nothing is done before that.
                tcp.0.peek(&mut [0]).await?;
                pass.spoke();
                set_up.run(tcp, endpoint).await
            };
            tokio::select! {
                done = guest => done,
                () = pass.dismissed() => Err(full()),
            }
        }
    });
    Ok(TransportTimeout::new(upgraded, SET_UP_DEADLINE).boxed())
}

/// Sets up a TCP connection: encryption, admission, multiplexing.
struct SetUp {
    noise: noise::Config,
    doorkeeper: Doorkeeper,
    refused: mpsc::Sender<Refused>,
}

impl SetUp {
    async fn run(
        self,
        tcp: tcp::tokio::TcpStream,
        endpoint: ConnectedPoint,
    ) -> io::Result<(libp2p::PeerId, StreamMuxerBox)> {
        let role = match endpoint {
            ConnectedPoint::Dialer { .. } => Role::Dialer,
            ConnectedPoint::Listener { .. } => Role::Listener,
        };
        // No protocol is negotiated: there is only one, and the hello has its version.
        let (peer, mut stream) = match role {
            Role::Dialer => self.noise.upgrade_outbound(tcp, "/noise").await,
            Role::Listener => self.noise.upgrade_inbound(tcp, "/noise").await,
        }
        .map_err(io::Error::other)?;
        let core = names::to_core(&peer).ok_or_else(|| io::Error::other("its key is not ed25519"))?;
        let address = endpoint.get_remote_address();
        match self.doorkeeper.admit(&mut stream, core, role).await {
            Ok(process) => self.doorkeeper.census.arrived(core, address, process),
            Err(AdmitError::Refused(refusal)) => {
                let dialled = role == Role::Dialer;
                // A full queue means that refusals are being reported already.
                let told = Refused { peer: core, address: address.clone(), dialled, refusal };
                drop(self.refused.try_send(told));
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal.to_string()));
            }
            Err(AdmitError::Broken(error)) => return Err(error),
        }
        let muxer = match role {
            Role::Dialer => yamux::Config::default().upgrade_outbound(stream, "/yamux/1.0.0").await,
            Role::Listener => yamux::Config::default().upgrade_inbound(stream, "/yamux/1.0.0").await,
        }?;
        Ok((peer, StreamMuxerBox::new(muxer)))
    }
}

/// TCP that also dials link-local addresses over their interface.
struct ZonedTcp(tcp::tokio::Transport);

impl Transport for ZonedTcp {
    type Output = tcp::tokio::TcpStream;
    type Error = io::Error;
    type ListenerUpgrade = <tcp::tokio::Transport as Transport>::ListenerUpgrade;
    type Dial = <tcp::tokio::Transport as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some(socket) = zone::socket(&address) else { return self.0.dial(address, options) };
        Ok(Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(socket?).await?;
            stream.set_nodelay(true)?;
            Ok(tcp::tokio::TcpStream(stream))
        }))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }
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
    use futures::{AsyncWriteExt, StreamExt};
    use libp2p::core::transport::PortUse;
    use libp2p::core::{Endpoint, Transport as _};

    use super::*;
    use crate::config::Admission;

    #[tokio::test]
    async fn random_bytes_after_the_handshake_are_refused() {
        let keypair = names::keypair_of(&[1; 32]);
        let me = names::peer_id_of(&[1; 32]);
        let (refused, mut refusals) = mpsc::channel(1);
        let mut server =
            build(&keypair, Doorkeeper::new(me, 1, Admission::Open), Arc::default(), refused).unwrap();
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
            let TransportEvent::Incoming { upgrade, .. } = event else { panic!("a connection comes in") };
            upgrade.await.map(|(peer, _)| names::to_core(&peer))
        };
        let (_stream, admitted): (_, io::Result<Option<PeerId>>) = tokio::join!(lie, listen);
        assert!(admitted.is_err());
        assert_eq!(refusals.recv().await.unwrap().refusal, Refusal::NotWeft);
    }
}
