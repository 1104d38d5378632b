/* Sockets: with each other, with the host's, and by what is wrong. */

#include "cases.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/un.h>

#include <rump/rump.h>
#include <rump/rump_syscalls.h>

static void
begin(void)
{
	IS(rump_pub_lwproc_rfork(RUMP_RFCFDG), 0);
}

static struct sockaddr_in
loopback(in_port_t port)
{
	struct sockaddr_in address;
	memset(&address, 0, sizeof(address));
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = port;
	return address;
}

static const struct sockaddr *
general(const struct sockaddr_in *address)
{
	return (const struct sockaddr *)(const void *)address;
}

/* A listening socket, and where it listens. */
static int
listening(struct sockaddr_in *address)
{
	socklen_t len = sizeof(*address);
	int fd = rump_sys_socket(AF_INET, SOCK_STREAM, 0);
	CHECK(fd >= 0);
	*address = loopback(0);
	IS(rump_sys_bind(fd, general(address), sizeof(*address)), 0);
	IS(rump_sys_listen(fd, 5), 0);
	IS(rump_sys_getsockname(fd, (struct sockaddr *)(void *)address, &len), 0);
	IS(len, sizeof(*address));
	IS(address->sin_family, AF_INET);
	CHECK(address->sin_port != 0);
	return fd;
}

static void
a_server_and_a_client(void)
{
	struct sockaddr_in address, own, peer;
	struct sockaddr *place = (struct sockaddr *)(void *)&peer;
	socklen_t len = sizeof(peer);
	char buf[8];
	begin();
	int server = listening(&address);
	int client = rump_sys_socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
	IS(rump_sys_connect(client, general(&address), sizeof(address)), 0);
	int accepted = rump_sys_accept(server, place, &len);
	CHECK(accepted >= 0);
	IS(len, sizeof(peer));
	len = sizeof(own);
	IS(rump_sys_getsockname(client, (struct sockaddr *)(void *)&own, &len), 0);
	IS(own.sin_port, peer.sin_port);
	IS(own.sin_addr.s_addr, peer.sin_addr.s_addr);
	IS(rump_sys_getpeername(client, place, &len), 0);
	IS(peer.sin_port, address.sin_port);

	IS(rump_sys_write(client, "ping", 4), 4);
	IS(rump_sys_read(accepted, buf, sizeof(buf)), 4);
	IS(memcmp(buf, "ping", 4), 0);
	IS(rump_sys_shutdown(client, SHUT_WR), 0);
	IS(rump_sys_read(accepted, buf, sizeof(buf)), 0);
	IS(rump_sys_write(accepted, "pong", 4), 4);
	IS(rump_sys_read(client, buf, sizeof(buf)), 4);
	IS(rump_sys_close(accepted), 0);
	IS(rump_sys_read(client, buf, sizeof(buf)), 0);
}

static struct sockaddr_in served;

static void *
host_client(void *unused)
{
	char byte = 0;
	(void)unused;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(fd, general(&served), sizeof(served)) == 0);
	CHECK(write(fd, "x", 1) == 1);
	CHECK(read(fd, &byte, 1) == 1);
	CHECK(byte == 'y');
	close(fd);
	return NULL;
}

static void
a_client_of_the_host(void)
{
	pthread_t thread;
	char byte;
	begin();
	int server = listening(&served);
	CHECK(pthread_create(&thread, NULL, host_client, NULL) == 0);
	/* Waits for it. */
	int fd = rump_sys_accept4(server, NULL, NULL, SOCK_CLOEXEC);
	IS(rump_sys_fcntl(fd, F_GETFD), FD_CLOEXEC);
	IS(rump_sys_read(fd, &byte, 1), 1);
	IS(rump_sys_write(fd, "y", 1), 1);
	CHECK(pthread_join(thread, NULL) == 0);
	IS(rump_sys_read(fd, &byte, 1), 0);
}

static void
addresses_are_cut_to_their_room(void)
{
	struct sockaddr_in address, whole;
	unsigned char room[sizeof(struct sockaddr_in)];
	socklen_t len = 4;
	begin();
	int fd = listening(&whole);
	memset(room, 0xee, sizeof(room));
	IS(rump_sys_getsockname(fd, (struct sockaddr *)(void *)room, &len), 0);
	/* How long it is, though there was room for less. */
	IS(len, sizeof(whole));
	IS(memcmp(room, &whole, 4), 0);
	IS(room[4], 0xee);
	len = (socklen_t)-1;
	FAILS(rump_sys_getsockname(fd, (struct sockaddr *)(void *)&address, &len), EINVAL);
	FAILS(rump_sys_getsockname(fd, (struct sockaddr *)(void *)&address, NULL), EFAULT);
	len = sizeof(address);
	FAILS(rump_sys_getsockname(fd, NULL, &len), EFAULT);
	FAILS(rump_sys_getpeername(fd, NULL, &len), EFAULT);
	FAILS(rump_sys_getpeername(fd, (struct sockaddr *)(void *)&address, &len), ENOTCONN);
	FAILS(rump_sys_getsockname(99, (struct sockaddr *)(void *)&address, &len), EBADF);
}

static void
addresses_that_are_none(void)
{
	struct sockaddr_in address;
	struct sockaddr_un name;
	begin();
	int fd = rump_sys_socket(AF_INET, SOCK_STREAM, 0);
	address = loopback(0);
	FAILS(rump_sys_bind(fd, NULL, sizeof(address)), EFAULT);
	FAILS(rump_sys_bind(fd, general(&address), 1), EINVAL);
	FAILS(rump_sys_bind(fd, general(&address), sizeof(address) - 1), EINVAL);
	FAILS(rump_sys_bind(fd, general(&address), 100000), EINVAL);
	FAILS(rump_sys_bind(fd, general(&address), (socklen_t)-1), EINVAL);
	FAILS(rump_sys_connect(fd, NULL, sizeof(address)), EFAULT);
	address.sin_family = 77;
	FAILS(rump_sys_bind(fd, general(&address), sizeof(address)), EAFNOSUPPORT);
	FAILS(rump_sys_connect(fd, general(&address), sizeof(address)), EAFNOSUPPORT);
	FAILS(rump_sys_bind(99, general(&served), sizeof(address)), EAFNOSUPPORT);
	address = loopback(0);
	FAILS(rump_sys_bind(99, general(&address), sizeof(address)), EBADF);

	/* A name of the host's that is in no file system. */
	int local = rump_sys_socket(AF_UNIX, SOCK_STREAM, 0);
	memset(&name, 0, sizeof(name));
	name.sun_family = AF_UNIX;
	FAILS(rump_sys_bind(local, (struct sockaddr *)(void *)&name, sizeof(name)), EINVAL);
}

static void
kinds_that_there_are_not(void)
{
	int ends[2];
	begin();
	FAILS(rump_sys_socket(77, SOCK_STREAM, 0), EAFNOSUPPORT);
	FAILS(rump_sys_socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
	FAILS(rump_sys_socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	FAILS(rump_sys_socket(AF_INET, SOCK_STREAM | 0x10000000, 0), EINVAL);
	FAILS(rump_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, NULL), EFAULT);
	FAILS(rump_sys_socketpair(AF_INET, SOCK_STREAM, 0, ends), EOPNOTSUPP);
}

static void
pairs(void)
{
	int ends[2];
	char buf[8];
	begin();
	IS(rump_sys_socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	IS(rump_sys_fcntl(ends[1], F_GETFD), FD_CLOEXEC);
	FAILS(rump_sys_read(ends[0], buf, 1), EAGAIN);
	IS(rump_sys_write(ends[1], "hello", 5), 5);
	IS(rump_sys_read(ends[0], buf, sizeof(buf)), 5);
	IS(rump_sys_shutdown(ends[1], SHUT_RDWR), 0);
	IS(rump_sys_read(ends[0], buf, 1), 0);
	FAILS(rump_sys_shutdown(ends[1], 99), EINVAL);
	FAILS(rump_sys_shutdown(99, SHUT_RD), EBADF);

	IS(rump_sys_socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
	IS(rump_sys_write(ends[0], "one", 3), 3);
	IS(rump_sys_write(ends[0], "other", 5), 5);
	IS(rump_sys_read(ends[1], buf, sizeof(buf)), 3);
	IS(rump_sys_read(ends[1], buf, sizeof(buf)), 5);
}

static void
states_that_are_wrong(void)
{
	struct sockaddr_in address;
	begin();
	int fd = rump_sys_socket(AF_INET, SOCK_STREAM, 0);
	FAILS(rump_sys_accept(fd, NULL, NULL), EINVAL);
	FAILS(rump_sys_shutdown(fd, SHUT_RD), ENOTCONN);
	int file = rump_sys_open("/f", O_CREAT | O_RDWR, 0644);
	FAILS(rump_sys_listen(file, 1), ENOTSOCK);
	FAILS(rump_sys_accept(file, NULL, NULL), ENOTSOCK);
	address = loopback(0);
	FAILS(rump_sys_bind(file, general(&address), sizeof(address)), ENOTSOCK);
	FAILS(rump_sys_connect(file, general(&address), sizeof(address)), ENOTSOCK);
	FAILS(rump_sys_listen(99, 1), EBADF);
	FAILS(rump_sys_accept(99, NULL, NULL), EBADF);
	FAILS(rump_sys_connect(99, general(&address), sizeof(address)), EBADF);

	int server = listening(&address);
	int other = rump_sys_socket(AF_INET, SOCK_STREAM, 0);
	FAILS(rump_sys_bind(other, general(&address), sizeof(address)), EADDRINUSE);
	FAILS(rump_sys_accept(server, (struct sockaddr *)(void *)&address, NULL), EFAULT);
	FAILS(rump_sys_accept4(server, NULL, NULL, 1), EINVAL);
	IS(rump_sys_fcntl(server, F_SETFL, O_NONBLOCK), 0);
	FAILS(rump_sys_accept(server, NULL, NULL), EAGAIN);
	IS(rump_sys_close(server), 0);
	FAILS(rump_sys_connect(other, general(&address), sizeof(address)), ECONNREFUSED);
}

static void
options(void)
{
	struct sockaddr_in address;
	int value = 1;
	char byte = 77;
	socklen_t len = sizeof(value);
	begin();
	int fd = rump_sys_socket(AF_INET, SOCK_STREAM, 0);
	const int switches[][2] = {
		{ SOL_SOCKET, SO_REUSEADDR }, { SOL_SOCKET, SO_KEEPALIVE }, { IPPROTO_TCP, TCP_NODELAY },
	};
	for (int i = 0; i < 3; i++) {
		value = 77;
		IS(rump_sys_getsockopt(fd, switches[i][0], switches[i][1], &value, &len), 0);
		IS(value, 0);
		value = 1;
		IS(rump_sys_setsockopt(fd, switches[i][0], switches[i][1], &value, sizeof(value)), 0);
		value = 0;
		IS(rump_sys_getsockopt(fd, switches[i][0], switches[i][1], &value, &len), 0);
		CHECK(value != 0);
		IS(len, sizeof(int));
	}
	value = 30000;
	IS(rump_sys_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)), 0);
	IS(rump_sys_setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)), 0);
	IS(rump_sys_getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &len), 0);
	CHECK(value >= 30000);
	IS(rump_sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len), 0);
	IS(value, 0);
	IS(rump_sys_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len), 0);
	IS(value, 0);
	IS(rump_sys_getsockopt(listening(&address), SOL_SOCKET, SO_ACCEPTCONN, &value, &len), 0);
	IS(value, 1);
	/* As much of it as there is room for. */
	len = 1;
	IS(rump_sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &byte, &len), 0);
	IS(len, 1);
	IS(byte, 0);

	FAILS(rump_sys_getsockopt(fd, SOL_SOCKET, 9999, &value, &len), ENOPROTOOPT);
	FAILS(rump_sys_setsockopt(fd, SOL_SOCKET, 9999, &value, sizeof(value)), ENOPROTOOPT);
	FAILS(rump_sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 3), EINVAL);
	FAILS(rump_sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, NULL, sizeof(value)), EFAULT);
	FAILS(rump_sys_getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, NULL, &len), EFAULT);
	FAILS(rump_sys_getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, NULL), EFAULT);
	len = (socklen_t)-1;
	FAILS(rump_sys_getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &len), EINVAL);
	len = sizeof(value);
	FAILS(rump_sys_getsockopt(99, SOL_SOCKET, SO_REUSEADDR, &value, &len), EBADF);
	FAILS(rump_sys_setsockopt(99, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)), EBADF);
	int file = rump_sys_open("/f", O_CREAT | O_RDWR, 0644);
	FAILS(rump_sys_getsockopt(file, SOL_SOCKET, SO_REUSEADDR, &value, &len), ENOTSOCK);
	FAILS(rump_sys_getsockopt(file, SOL_SOCKET, 9999, &value, &len), ENOTSOCK);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(a_server_and_a_client),
		CASE(a_client_of_the_host),
		CASE(addresses_are_cut_to_their_room),
		CASE(addresses_that_are_none),
		CASE(kinds_that_there_are_not),
		CASE(pairs),
		CASE(states_that_are_wrong),
		CASE(options),
	};
	return CASES(cases);
}
