//! Where others can reach the node of this machine: what a ticket names.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use weft_client::Mesh;
use weft_node::settings::{self, Place, Settings};

use super::Problem;

/// The addresses for a ticket, and whether the node also listens at a port that can't be known before it starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) places: Vec<Place>,
    pub(crate) unknown_port: bool,
}

/// Asks the node that runs on this data directory, if one does and is a member already; else the settings say where it
/// will listen. `own` are this machine's addresses on its networks.
pub(crate) async fn reach(data_dir: &Path, is_member: bool, own: &[IpAddr]) -> Result<Reach, Problem> {
    if is_member && let Some(listening) = running(data_dir).await {
        let reach = among(&listening, own);
        if !reach.places.is_empty() {
            return Ok(reach);
        }
    }
    let listening = Settings::listens_by_itself(data_dir)?;
    Ok(among(&listening, own))
}

/// Where the running node listens.
async fn running(data_dir: &Path) -> Option<Vec<SocketAddr>> {
    let mesh = Mesh::connect_in(data_dir).await.ok()?;
    let status = mesh.status().await.ok()?;
    Some(status.listen.iter().filter_map(|address| settings::socket_of(address)).collect())
}

/// What others can dial of these: an address for all means this machine's own, and loopback none. Of a node that
/// names every address that it has, those on real networks count.
fn among(listening: &[SocketAddr], own: &[IpAddr]) -> Reach {
    let mut places: Vec<Place> = Vec::new();
    let unknown_port = listening.iter().any(|socket| socket.port() == 0 && !socket.ip().is_loopback());
    let mut add = |socket: SocketAddr| {
        let place = Place::Ip(socket);
        if !places.contains(&place) {
            places.push(place);
        }
    };
    let fixed = listening.iter().filter(|socket| socket.port() != 0 && !socket.ip().is_loopback());
    let (for_all, named): (Vec<&SocketAddr>, Vec<&SocketAddr>) =
        fixed.partition(|socket| socket.ip().is_unspecified());
    for socket in for_all {
        let same_kind = own.iter().filter(|ip| ip.is_ipv4() == socket.is_ipv4() || socket.is_ipv6());
        same_kind.for_each(|ip| add(SocketAddr::new(*ip, socket.port())));
    }
    let real = |socket: &&&SocketAddr| own.contains(&socket.ip());
    let preferred: Vec<&SocketAddr> = named.iter().filter(real).copied().collect();
    let chosen = if preferred.is_empty() { named } else { preferred };
    chosen.into_iter().for_each(|socket| add(*socket));
    places.truncate(weft_node::ticket::ADDRESSES_MAX);
    Reach { places, unknown_port }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(listening: &[&str]) -> (Vec<String>, bool) {
        let listening: Vec<SocketAddr> = listening.iter().map(|text| text.parse().unwrap()).collect();
        let own = ["10.0.0.7".parse().unwrap(), "192.168.1.7".parse().unwrap()];
        let Reach { places, unknown_port } = among(&listening, &own);
        (places.iter().map(Place::to_string).collect(), unknown_port)
    }

    #[test]
    fn a_ticket_names_the_port_at_which_the_node_listens() {
        let both = ["10.0.0.7:9000", "192.168.1.7:9000"].map(String::from).to_vec();
        assert_eq!(reached(&["0.0.0.0:9000"]), (both.clone(), false));
        // As a running node tells it: each of its addresses, those of containers and loopback too.
        let all = ["127.0.0.1:9000", "10.0.0.7:9000", "172.17.0.1:9000", "192.168.1.7:9000"];
        assert_eq!(reached(&all), (both, false));
        assert_eq!(reached(&["198.51.100.7:9000"]), (vec!["198.51.100.7:9000".into()], false));
        assert_eq!(reached(&["127.0.0.1:9000"]), (vec![], false));
        assert_eq!(reached(&["0.0.0.0:0"]), (vec![], true));
    }
}
