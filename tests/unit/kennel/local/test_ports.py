import socket

from kennel.local import ports


def test_a_free_port_is_kept_and_a_taken_one_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: int = server.getsockname()[1]
        assert not ports.is_free(taken)
        other = ports.choose(taken)
        assert other != taken
        assert ports.choose(other) == other
    assert ports.choose(taken) == taken


def test_ports_that_the_system_gives_are_free_and_differ() -> None:
    given = ports.free(20)
    assert len(set(given)) == len(given)
    assert all(map(ports.is_free, given))
