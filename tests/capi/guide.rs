//! `include/README.md`: its programs are compiled as they stand there, and do what it says.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::compiler::{Compiler, dir, include, succeed};
use crate::library::Linked;

/// What stands in the page between fences, each with its language.
fn blocks() -> Vec<(String, String)> {
    let page = fs::read_to_string(include().join("README.md")).unwrap();
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| *line != "```");
            blocks.push((language.to_owned(), block.map(|line| format!("{line}\n")).collect()));
        }
    }
    blocks
}

/// The page's program whose first line gives it that name.
fn program(name: &str, linked: Linked) -> PathBuf {
    let first = format!("/* {name}.c: ");
    let found = blocks().into_iter().find(|(language, block)| language == "c" && block.starts_with(&first));
    let (_, text) = found.unwrap_or_else(|| panic!("the page has no {name}.c"));
    let source = dir().join(format!("{name}.c"));
    fs::write(&source, text).unwrap();
    Compiler::GNU.program(&source, linked).unwrap()
}

/// Ends with the test, also if that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn its_first_program_prints_what_it_says() {
    let (_, console) = blocks().into_iter().find(|(language, _)| language == "console").unwrap();
    let (_, expected) = console.split_once("$ ./tenants\n").unwrap();
    // What err(3) and warn(3) say begins with the program's name.
    let (errors, output): (Vec<_>, Vec<_>) = expected.lines().partition(|line| line.starts_with("tenants: "));
    assert!(!errors.is_empty() && !output.is_empty());
    for linked in [Linked::Static, Linked::Shared] {
        let said = succeed(Command::new(program("tenants", linked)).arg0("tenants")).unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap().lines().collect::<Vec<_>>(), output);
        assert_eq!(String::from_utf8(said.stderr).unwrap().lines().collect::<Vec<_>>(), errors);
    }
}

#[test]
fn its_server_serves_clients_side_by_side() {
    const CLIENTS: usize = 100;
    let mut command = Command::new(program("echo", Linked::Static));
    let mut server = Running(command.arg("0").stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            write!(client, "{number} in {round}.").unwrap();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let expected = format!("{number} in {round}.");
            let mut answer = vec![0; expected.len()];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, expected.as_bytes());
        }
    }
    for mut client in clients {
        client.shutdown(Shutdown::Write).unwrap();
        // The connection ends with the process that served it.
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    assert!(server.0.try_wait().unwrap().is_none());
}
