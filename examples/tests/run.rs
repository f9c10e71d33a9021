//! Every example does what its first line says.

use std::process::Command;

use weft_sdk::{Embedded, Mesh};

/// Runs an example against an embedded mesh's first node and gives what it printed.
async fn run(mesh: &Mesh, example: &str, args: &[&str]) -> String {
    let mut command = Command::new(example);
    command.args(args).env("WEFT_DATA_DIR", mesh.data_dir());
    let ended =
        tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("it starts");
    let shown = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{example}: {shown}{}", String::from_utf8_lossy(&ended.stderr));
    shown
}

#[tokio::test]
async fn examples_against_a_node_show_what_they_say() {
    let mesh = Mesh::embedded(2).await.expect("a mesh");
    let hello = run(&mesh, env!("CARGO_BIN_EXE_hello"), &[]).await;
    assert!(hello.starts_with("HELLO, MESH\nran on "), "{hello}");

    let sweep = run(&mesh, env!("CARGO_BIN_EXE_sweep"), &[]).await;
    assert!(sweep.lines().last().is_some_and(|line| line.contains("pi is about 3.14")), "{sweep}");

    let words = run(&mesh, env!("CARGO_BIN_EXE_map_reduce"), &[]).await;
    assert!(words.lines().nth(1).is_some_and(|line| line.ends_with(" the")), "{words}");

    let file = mesh.data_dir().join("picture.png");
    let picture = run(&mesh, env!("CARGO_BIN_EXE_picture"), &[&file.display().to_string()]).await;
    assert!(picture.starts_with("150 tiles, 480 x 320 pixels"), "{picture}");
    let decoder =
        png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&file).expect("the picture")));
    let info = decoder.read_info().expect("a PNG").info().size();
    assert_eq!(info, (480, 320));
}

#[test]
fn the_embedded_mesh_survives_a_death() {
    let ended = Command::new(env!("CARGO_BIN_EXE_embedded")).output().expect("it starts");
    let shown = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{shown}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(shown.contains("60 results, "), "{shown}");
}
