#!/usr/bin/env python
"""Two processes share one study on a real PostgreSQL server on loopback; one of them is killed in the middle of a trial.

    python .ci/postgres.py     needs Debian's `postgresql` (.ci/debs installs it) and the driver `psycopg` (developers' extra)

Passes if every trial is done, none twice but the one that was killed, and both processes have the same table.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from browser import free_port

ROOT = Path(__file__).resolve().parents[1]
TRIALS, HEARTBEAT, LIMIT = 8, 2, 120  # seconds that both workers may take to begin, and then to finish
WORKER = '''
import sys, time
from pathlib import Path
from cliff_nb.studies import Study, run_study
url, folder, log, trials, heartbeat = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
def run(trial, work):
    with log.open('a') as f: f.write(f"{folder[-1]} {trial['seed']}\\n")
    while {line[0] for line in log.read_text().splitlines()} < {'a', 'b'}: time.sleep(.1)  # nobody does all the work before the other has begun
    time.sleep(1.5)
    return {'size': trial['seed'] * 2.}
run_study(Study('shared', [dict(method='m', data='d', seed=s) for s in range(trials)], folder, run), url, progress=False, heartbeat=heartbeat)
'''


def tools():
    "The folder of PostgreSQL's programs, which Debian's package is installed for if need be"
    subprocess.run([ROOT / '.ci/debs', 'postgresql'], check=True)
    return Path(sorted(glob.glob('/usr/lib/postgresql/*/bin/initdb'))[-1]).parent


def as_server(folder):
    "PostgreSQL refuses to run as root: the user that owns its files and a prefix for its commands"
    if os.getuid(): return []
    shutil.chown(folder, 'postgres')
    return ['runuser', '-u', 'postgres', '--']


def main():
    bin, port, tmp = tools(), free_port(), Path(tempfile.mkdtemp(prefix='cliff_pg_'))
    server, home = tmp / 'server', tmp / 'out'
    server.mkdir(); home.mkdir(); tmp.chmod(0o755)
    user = as_server(server)
    call = lambda *a: subprocess.run([*user, *map(str, a)], check=True, stdout=subprocess.DEVNULL, cwd=server)
    call(bin / 'initdb', '-D', server / 'data', '-U', 'cliff', '--auth=trust', '--no-sync')
    call(bin / 'pg_ctl', '-D', server / 'data', '-w', '-l', server / 'log', '-o', f"-p {port} -k {server} -c listen_addresses=127.0.0.1 -c fsync=off", 'start')
    try: share(f'postgresql+psycopg://cliff@127.0.0.1:{port}/postgres', home)
    finally:
        call(bin / 'pg_ctl', '-D', server / 'data', '-m', 'immediate', 'stop')
        shutil.rmtree(tmp)


def share(url, home):
    log = home / 'log.txt'
    log.touch()
    env = os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    start = lambda name: subprocess.Popen([sys.executable, '-c', WORKER, url, str(home / name), str(log), str(TRIALS), str(HEARTBEAT)], env=env)
    workers = {name: start(name) for name in 'ab'}
    began = lambda name: [line.split()[1] for line in log.read_text().splitlines() if line.startswith(name)]
    try:
        deadline = time.monotonic() + LIMIT
        while not (began('a') and began('b')):
            if any(w.poll() is not None for w in workers.values()): raise SystemExit('a worker ended before both had begun')
            if time.monotonic() > deadline: raise SystemExit(f'not both workers had begun after {LIMIT} s')
            time.sleep(.1)
        workers['a'].kill()
        workers['a'].wait()
        lost = began('a')[-1]
        workers['a'] = start('a')
        codes = {name: w.wait(timeout=LIMIT) for name, w in workers.items()}
    finally:
        for w in workers.values(): w.kill()
    seeds = [line.split()[1] for line in log.read_text().splitlines()]
    tables = [(home / name / 'shared.csv').read_text() for name in 'ab']
    print(f'exit codes {codes}; {len(seeds)} trials begun by two workers ({len(began("a"))} and {len(began("b"))}); the one that was killed: {lost}')
    assert set(codes.values()) == {0} and sorted(seeds) == sorted([*map(str, range(TRIALS)), lost]), seeds
    assert tables[0] == tables[1] and len(tables[0].splitlines()) == TRIALS + 1, tables
    print('PostgreSQL: every trial was done once, the killed one again, and both tables are the same')


if __name__ == '__main__': main()
