//! `weft join`: takes a ticket's key and addresses into the data directory.

use std::io::Read as _;
use std::path::Path;

use weft_node::settings;
use weft_node::ticket::Ticket;

use super::Problem;
use crate::cli::JoinArgs;
use crate::render::say;

/// Longest text taken for a ticket from stdin, in bytes.
const TICKET_BYTES_MAX: u64 = 2 * weft_node::ticket::TEXT_MAX as u64;

/// Stores the key and the addresses. Joining the same mesh again adds its addresses.
pub(crate) fn join(data_dir: &Path, args: &JoinArgs) -> Result<u8, Problem> {
    let ticket: Ticket = ticket_text(args)?.parse()?;
    let known = settings::read_mesh_key(data_dir)?;
    let is_other = known.is_some_and(|key| key != ticket.mesh_key);
    let dir = data_dir.display();
    if is_other && !args.force {
        let text = format!(
            "{dir} belongs to another mesh: leave that one and join this with `weft join --force`, or use another \
             --data-dir"
        );
        return Err(Problem::Failed(text));
    }
    settings::load_or_make_identity(data_dir)?;
    settings::write_mesh_key(data_dir, Some(ticket.mesh_key))?;
    settings::add_joined_peers(data_dir, &ticket.multiaddrs(), is_other)?;
    let addresses: Vec<String> = ticket.addresses.iter().map(ToString::to_string).collect();
    match addresses.as_slice() {
        [] => say(&format!("joined the mesh in {dir}; its nodes will be looked for by mDNS")),
        some => say(&format!(
            "joined the mesh in {dir}; its nodes will be looked for at {} and by mDNS",
            some.join(", ")
        )),
    }
    say("start this machine's node with `weft node`; one that runs joins the mesh when it is started again");
    Ok(0)
}

fn ticket_text(args: &JoinArgs) -> Result<String, Problem> {
    if args.ticket != "-" {
        return Ok(args.ticket.clone());
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().take(TICKET_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|source| Problem::File { action: "read", path: "stdin".into(), source })?;
    Ok(text)
}
