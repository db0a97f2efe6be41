"""psycopg over the PostgreSQL wire: parameters, types, errors, cancelling, and bytes that are no protocol."""

import datetime
import random
import socket
import sys

import psycopg

PORT = int(sys.argv[1])
WHERE = f"host=127.0.0.1 port={PORT} user=me dbname=penstock connect_timeout=20"


def check(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def questions(binary):
    with psycopg.connect(WHERE, autocommit=True) as connection, connection.cursor(binary=binary) as cursor:
        ask = lambda sql, *params, **options: cursor.execute(sql, params or None, **options).fetchall()
        check(ask("SELECT device_id, value, integer FROM telemetry WHERE metric = %s", "t"), [("d1", 21.5, None)])
        check(ask("SELECT integer FROM telemetry WHERE metric = 'n'"), [(9007199254740993,)])
        noon = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.timezone.utc)
        check(ask("SELECT time FROM telemetry WHERE time = %s", noon), [(noon,)])
        later = noon.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
        check(ask("SELECT count(*) FROM telemetry WHERE time > %s AND value IS NOT NULL", later), [(1,)])
        check(ask("SELECT value FROM telemetry WHERE value > %s AND metric = %s", 20, "t"), [(21.5,)])
        check(ask("SELECT value FROM telemetry WHERE value < %s", 22.5), [(21.5,)])
        check(ask("SELECT metrics > 1, metrics FROM devices ORDER BY id"), [(True, 2), (False, 1)])
        gaps = """SELECT time_bucket_gapfill('6 minutes', time) AS t, interpolate(avg(value)) FROM telemetry
            WHERE metric = 't' AND time >= %s AND time < %s GROUP BY t ORDER BY t"""
        step = datetime.timedelta(minutes=6)
        check(ask(gaps, noon, noon + 2 * step), [(noon, 21.5), (noon + step, None)])
        for _ in range(8):  # beyond the fifth time psycopg keeps the statement prepared
            check(ask("SELECT text FROM telemetry WHERE device_id = %s", "d2"), [("o'pen",)])
        check(ask("SELECT text FROM telemetry WHERE device_id = %s", "x' OR 'a' = 'a"), [])
        check(ask("SELECT * FROM telemetry WHERE device_id = %s", "nobody"), [])
        check([column.name for column in cursor.description][:3], ["time", "arrived_at", "device_id"])


def types_that_only_the_statement_shows():
    with psycopg.connect(WHERE, autocommit=True) as connection:
        prepare = lambda sql: connection.pgconn.prepare(b"s", sql.encode()) and connection.pgconn.describe_prepared(b"s")
        for sql, oids in [
            ("SELECT $1::bool, $2::int8", [16, 20]),
            ("SELECT count(*) FROM telemetry WHERE device_id = ANY($1)", [1009]),
            ("SELECT count(*) FROM telemetry WHERE time = $1 AND value > $2", [1184, 701]),
            ("SELECT $2::text", [25, 25]),
        ]:
            described = prepare(sql)
            check([described.param_type(n) for n in range(described.nparams)], oids)
            connection.execute("DEALLOCATE s")
        ask = lambda sql, *params: connection.execute(sql, params or None).fetchall()
        check(ask("SELECT count(*) FROM telemetry WHERE device_id = ANY(%s)", ["d1", "x"]), [(2,)])


def cursors_and_copies():
    with psycopg.connect(WHERE) as connection:
        with connection.cursor(name="c") as cursor:
            cursor.execute("SELECT value FROM generate_series(1, 1000) WHERE value > %s", (10,))
            cursor.itersize = 100
            check(sum(row[0] for row in cursor), 500500 - 55)
        with connection.cursor() as cursor, cursor.copy("COPY (SELECT 1::int8, 'x') TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int8", "text"])
            check(list(copy.rows()), [(1, "x")])


def what_is_left_open_is_bounded():
    """Statements that are never closed, rows that are never fetched, and room for two thousand million of them."""
    with psycopg.connect(WHERE, autocommit=True) as connection:
        wire = connection.pgconn
        kept = 0
        while wire.prepare(b"s%d" % kept, b"SELECT 1").status != psycopg.pq.ExecStatus.FATAL_ERROR:
            kept += 1
            assert kept < 5000
        check(connection.execute("SELECT 1").fetchall(), [(1,)])
    for rows in [2**31 - 1, -1, -(2**31)]:
        with socket.create_connection(("127.0.0.1", PORT), timeout=20) as sock:
            packet = lambda kind, body: kind + (len(body) + 4).to_bytes(4, "big") + body
            begin = b"user\0me\0database\0penstock\0\0"
            sock.sendall((len(begin) + 8).to_bytes(4, "big") + (196608).to_bytes(4, "big") + begin)
            bind = b"\0\0" + bytes(6)
            execute = b"\0" + rows.to_bytes(4, "big", signed=True)
            sock.sendall(packet(b"P", b"\0SELECT 'here'\0\0\0") + packet(b"B", bind) + packet(b"E", execute) + packet(b"S", b"") + packet(b"X", b""))
            said = b""
            while piece := sock.recv(65536):
                said += piece
            assert b"here" in said, said


def errors():
    with psycopg.connect(WHERE, autocommit=True) as connection:
        for sql in ["SELEC", "SELECT * FROM nothing", "DELETE FROM telemetry", "SELECT value + FROM telemetry"]:
            try:
                connection.execute(sql).fetchall()
                raise AssertionError(f"{sql} is answered")
            except psycopg.Error as error:
                assert error.sqlstate, error
        check(connection.execute("SELECT 1").fetchall(), [(1,)])
    with psycopg.connect(WHERE) as connection:  # in a transaction
        check(connection.execute("SELECT count(*) FROM telemetry").fetchone(), (3,))
        connection.commit()


def nonsense():
    """Bytes that are no protocol: the server goes on."""
    for seed in range(200):
        noise = random.Random(seed)
        with socket.create_connection(("127.0.0.1", PORT), timeout=20) as sock:
            begin = b"user\0me\0database\0penstock\0\0"
            hello = (len(begin) + 8).to_bytes(4, "big") + (196608).to_bytes(4, "big") + begin
            packets = hello if seed % 2 else b""
            for _ in range(noise.randrange(1, 6)):
                body = noise.randbytes(noise.randrange(0, 60))
                length = len(body) + 4 if noise.random() < 0.7 else noise.getrandbits(32)
                packets += noise.choice(b"QPBDESCXdfHp\x00\xff").to_bytes(1, "big") + length.to_bytes(4, "big") + body
            try:
                sock.sendall(packets)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except OSError:
                pass
    with psycopg.connect(WHERE) as connection:
        check(connection.execute("SELECT 1").fetchone(), (1,))


questions(False)
questions(True)
types_that_only_the_statement_shows()
cursors_and_copies()
what_is_left_open_is_bounded()
errors()
nonsense()
