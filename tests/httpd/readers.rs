//! Clients that read slowly, or not at all.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, sockopt};

use super::client::Client;
use super::served::{Directory, Served};

/// More than the buffers of both sides hold.
const LARGE: u64 = 20 << 20;

/// A client whose host takes little of what it does not read.
fn reader(served: &Served) -> Client {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 64 << 10).unwrap();
    rustix::net::connect(&socket, &served.address.parse::<SocketAddr>().unwrap()).unwrap();
    Client::of(TcpStream::from(socket)).unwrap()
}

#[test]
fn who_reads_slowly_is_sent_all_of_it_and_who_does_not_read_is_left() {
    let directory = Directory::new();
    fs::File::create(directory.path().join("large")).unwrap().set_len(LARGE).unwrap();
    let served = Served::directory(&directory, &["--body-timeout", "1"]);
    let (mut slow, mut deaf) = (reader(&served), reader(&served));
    for client in [&mut slow, &mut deaf] {
        client.send("GET /~t/large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    let (start, mut read) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(8) {
        // 40 KiB a second: far less than the host's buffer is large, which has room only when a third of it is read.
        let mut piece = [0; 4096];
        read += slow.stream().read(&mut piece).unwrap() as u64;
        std::thread::sleep(Duration::from_millis(100));
    }
    let rest = |client: &mut Client| std::io::copy(&mut client.stream(), &mut std::io::sink()).unwrap_or(0);
    assert!(read + rest(&mut slow) > LARGE);
    assert!(rest(&mut deaf) < LARGE);
}
