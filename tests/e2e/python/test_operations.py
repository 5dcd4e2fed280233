"""Health, reflection, admin pages, a drain with streams open, saved files that are served.

SPDX-License-Identifier: Apache-2.0
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import grpc
import numpy as np
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from harness import ITEMS, PATIENCE, Failure, Omend, Test, batch_of, gaussian, ids_of, poll

# By its folder: the Python package grpc would hide a module named grpc.reflection.v1.
sys.path.insert(0, os.path.join(os.environ["OMEN_E2E_API"], "grpc/reflection/v1"))
REFLECTION, REFLECTION_RPC = grpc.protos_and_services("reflection.proto")
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
SERVICES = {
    "omen.v1.Collections",
    "omen.v1.Items",
    "omen.v1.Maintenance",
    "grpc.health.v1.Health",
}


def check_health(client, service=""):
    stub = health_pb2_grpc.HealthStub(client.channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE).status


class HealthTest(Test):
    def test_check(self):
        for service in ["", *SERVICES]:
            self.assertEqual(check_health(self.client, service), SERVING)
        self.fails("NOT_FOUND", check_health, self.client, "absent")

    def test_watch(self):
        stub = health_pb2_grpc.HealthStub(self.client.channel)
        for service, status in (
            ("", SERVING),
            ("omen.v1.Items", SERVING),
            ("absent", SERVICE_UNKNOWN),
        ):
            request = health_pb2.HealthCheckRequest(service=service)
            watch = stub.Watch(request, timeout=PATIENCE)
            self.assertEqual(next(watch).status, status)
            watch.cancel()


class ReflectionTest(Test):
    def ask(self, **request):
        stub = REFLECTION_RPC.ServerReflectionStub(self.client.channel)
        message = REFLECTION.ServerReflectionRequest(**request)
        answers = list(stub.ServerReflectionInfo(iter([message]), timeout=PATIENCE))
        self.assertEqual(len(answers), 1)
        self.assertEqual(answers[0].original_request, message)
        return answers[0]

    def test_v1(self):
        listed = self.ask(list_services="").list_services_response.service
        self.assertLessEqual(SERVICES, {service.name for service in listed})
        for request in (
            {"file_containing_symbol": "omen.v1.Items"},
            {"file_containing_symbol": "omen.v1.Items.Search"},
            {"file_containing_symbol": "omen.v1.SearchRequest"},
            {"file_by_filename": "omen/v1/items.proto"},
        ):
            files = self.ask(**request).file_descriptor_response.file_descriptor_proto
            self.assertGreaterEqual(len(files), 1)
        for request in ({"file_containing_symbol": "omen.v1.Absent"}, {"file_by_filename": "x"}):
            self.assertEqual(self.ask(**request).error_response.error_code, 5)

    def test_several_questions_in_one_stream(self):
        stub = REFLECTION_RPC.ServerReflectionStub(self.client.channel)
        message = REFLECTION.ServerReflectionRequest(list_services="")
        answers = list(stub.ServerReflectionInfo(iter([message] * 20), timeout=PATIENCE))
        self.assertEqual(len(answers), 20)

    def test_v1alpha_with_a_client_that_knows_nothing(self):
        """As grpcurl does it: types and methods out of the server's own description."""
        database = ProtoReflectionDescriptorDatabase(self.client.channel)
        self.assertLessEqual(SERVICES, set(database.get_services()))
        pool = descriptor_pool.DescriptorPool(database)
        service = pool.FindServiceByName("omen.v1.Maintenance")
        method = service.methods_by_name["GetServerInfo"]
        request = message_factory.GetMessageClass(method.input_type)()
        answer_class = message_factory.GetMessageClass(method.output_type)
        call = self.client.channel.unary_unary(
            "/%s/%s" % (service.full_name, method.name),
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer_class.FromString,
        )
        self.assertEqual(call(request, timeout=PATIENCE).limits.max_dim, 65535)


class AdminTest(Test):
    def test_probes(self):
        for path in ("/livez", "/readyz", "/startupz"):
            self.assertEqual(self.server.get(path)[0], 200, path)
        self.assertEqual(self.server.get("/absent")[0], 404)

    def test_metrics(self):
        self.client.create("counted", 4)
        self.client.add("counted", gaussian(1, 30, 4))
        for _ in range(5):
            self.client.search("counted", gaussian(1, 1, 4)[0])
        code, page = self.server.get("/metrics")
        self.assertEqual(code, 200)
        sample = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})? (\S+)$")
        families = set()
        for line in page.splitlines():
            if line.startswith("# TYPE "):
                name = line.split()[2]
                self.assertNotIn(name, families, "a family is told twice")
                families.add(name)
            elif not line.startswith("#"):
                match = sample.match(line)
                self.assertTrue(match, line)
                float(match.group(2))
                base = re.split(r"[{ ]", line)[0]
                trimmed = re.sub(r"_(bucket|sum|count)$", "", base)
                self.assertTrue(base in families or trimmed in families, line)
        self.assertRegex(page, r'omendb_build_info\{[^}]*version="')
        self.assertRegex(page, r'omendb_points\{collection="counted"\} 30\b')
        handled = (
            r'omendb_grpc_server_handled_total\{[^}]*method="Search"[^}]*code="OK"[^}]*\} (\d+)'
        )
        poll("5 searches are counted", lambda: self.counted(handled) >= 5)

    def counted(self, pattern):
        match = re.search(pattern, self.server.get("/metrics")[1])
        return float(match.group(1)) if match else 0


class DrainTest(unittest.TestCase):
    def start(self, *arguments):
        server = Omend(*arguments)
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        client = server.client()
        client.create("c", 8)
        return server, client

    def test_streams_are_told_and_nothing_acknowledged_is_lost(self):
        server, client = self.start("--grace-ms=30000")
        watch = health_pb2_grpc.HealthStub(client.channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=PATIENCE
        )
        self.assertEqual(next(watch).status, SERVING)
        idle, busy = client.stream(), client.stream()
        idle.open("c", "idle")
        busy.open("c", "busy")
        stop = threading.Event()

        def feed():
            seq = 0
            while not stop.is_set():
                seq += 1
                busy.send(
                    batch=batch_of(gaussian(seq, 50, 8), range(50 * seq, 50 * seq + 50), seq=seq)
                )
                if seq % 20 == 0:
                    stop.wait(0.01)  # leave the processor to the server

        feeder = threading.Thread(target=feed)
        feeder.start()
        busy.ack(5)
        server.terminate()
        for stream in (idle, busy):
            kinds, acked = [], 0
            with self.assertRaises(grpc.RpcError) as caught:
                while True:
                    message = stream.recv()
                    kinds.append(message.WhichOneof("message"))
                    if kinds[-1] == "ack":
                        self.assertGreaterEqual(message.ack.durable_seq, acked)
                        acked = message.ack.durable_seq
            self.assertEqual(Failure(caught.exception).code, "UNAVAILABLE")
            self.assertIn("draining", kinds)
        stop.set()
        feeder.join()
        self.assertEqual(next(watch).status, NOT_SERVING)
        code = server.wait()
        self.assertEqual(code, 0, server.read_log())
        server.close()

    def test_unready_before_it_stops(self):
        server, client = self.start("--predrain-ms=300000", "--grace-ms=30000")
        server.terminate()
        poll("readyz says so", lambda: server.get("/readyz")[0] == 503)
        self.assertEqual(server.get("/livez")[0], 200)
        poll("health says so", lambda: check_health(client) == NOT_SERVING)
        client.add("c", gaussian(1, 10, 8))  # it serves on
        self.assertEqual(client.count("c"), 10)
        server.terminate()  # do not wait any longer
        self.assertEqual(server.wait(), 0, server.read_log())
        server.close()

    def test_running_calls_end_well(self):
        server, client = self.start("--grace-ms=60000")
        client.add("c", gaussian(1, 2000, 8))
        searches = [
            ITEMS.SearchRequest(
                collection="c",
                legs=[
                    ITEMS.Leg(
                        vector=ITEMS.VectorLeg(vector=batch_of(row[None]).items.vectors, exact=True)
                    )
                ],
            )
            for row in gaussian(2, 1024, 8)
        ]
        call = client.items.BatchSearch(
            ITEMS.BatchSearchRequest(searches=searches), timeout=PATIENCE
        )
        first = next(call)
        server.terminate()
        answers = [first, *call]
        self.assertEqual(sorted(a.index for a in answers), list(range(1024)))
        self.assertEqual(server.wait(), 0, server.read_log())
        server.close()

    def test_rows_that_are_not_indexed_do_not_hold_it(self):
        """A stop takes a small part of the time that the index would need for the rest."""
        rows = gaussian(1, 20000, 128)
        took = []
        for stop_first in (False, True):
            server, client = self.start("--grace-ms=1")
            client.create("long", 128)
            client.add("long", rows)
            began = time.monotonic()
            if not stop_first:
                stream = client.stream()
                stream.open("long")
                stream.flush()
                while stream.recv("ack").indexed_items < len(rows):
                    pass
                stream.close()
                stream.rest()
                took.append(time.monotonic() - began)
            server.terminate()
            self.assertEqual(server.wait(), 0, server.read_log())
            if stop_first:
                took.append(time.monotonic() - began)
            server.close()
        self.assertLess(took[1], took[0] / 2)

    def test_a_client_that_hangs_does_not_hold_it_for_ever(self):
        server, client = self.start("--grace-ms=1")
        stream = client.stream()
        stream.open("c")
        server.terminate()
        self.assertEqual(server.wait(), 0, server.read_log())
        server.close()


# Runs with the Python package of ffi-examples, in a process of its own: its name is that of ours here.
SAVE = """
import sys, numpy, omen
vectors = numpy.load(sys.argv[1] + "/vectors.npy")
index = omen.Index(dim=vectors.shape[1], metric="cosine")
index.add(vectors)
index.save(sys.argv[1] + "/saved.omen")
numpy.save(sys.argv[1] + "/keys.npy", index.search(vectors[:5], k=5).keys)
"""


class ServedFileTest(unittest.TestCase):
    def test_a_file_of_the_library_is_served(self):
        with tempfile.TemporaryDirectory(dir=os.environ["OMEN_E2E_WORK"]) as folder:
            vectors = gaussian(1, 3000, 16)
            np.save(folder + "/vectors.npy", vectors)
            environment = {**os.environ, "PYTHONPATH": os.environ["OMEN_E2E_PACKAGE"]}
            subprocess.run([sys.executable, "-c", SAVE, folder], check=True, env=environment)
            expected = np.load(folder + "/keys.npy")
            server = Omend("--open=saved=" + folder + "/saved.omen")
            self.addCleanup(server.stop)
            client = server.client()
            self.assertEqual(client.count("saved"), 3000)
            for i in range(5):
                found = client.search("saved", vectors[i], limit=5)
                self.assertEqual(list(found.ids.u64), expected[i].tolist())
            with self.assertRaises(grpc.RpcError) as caught:
                client.add("saved", vectors[:1])
            failure = Failure(caught.exception)
            self.assertEqual((failure.code, failure.reason), ("FAILED_PRECONDITION", "READ_ONLY"))
            got = client.get("saved", ids_of([7]), with_vectors=True)
            self.assertEqual(got.items.vectors.data, vectors[7].tobytes())


if __name__ == "__main__":
    unittest.main()
