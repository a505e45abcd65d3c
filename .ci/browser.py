"A real Chromium (Debian's, never a downloaded one) that reaches this machine alone, and ports of the loopback; shared by test_site.py, test_lab.py and postgres.py."
import functools
import http.server
import shutil
import socket
import threading
from contextlib import contextmanager

FLAGS = ('--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update '
         '--disable-sync --disable-dev-shm-usage').split() + ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']


@contextmanager
def chromium():
    from playwright.sync_api import sync_playwright
    path = shutil.which('chromium') or shutil.which('chromium-browser')
    if path is None: raise RuntimeError('no chromium: apt-get install chromium (.ci/debs does it)')
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=FLAGS)  # its profile is an empty temporary folder
        try: yield browser
        finally: browser.close()


def free_port():
    "A port of the loopback that nobody listens on"
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


@contextmanager
def served(folder):
    "The folder over http on a free port of the loopback: the root's address, with a slash"
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_port}/'
    finally: server.shutdown(); server.server_close()
