"""Every page of the rendered site in a real browser: SITE=FOLDER pytest .ci/test_site.py

SITE is what `.ci/site.py build` (or Quarto) made. SHOTS=FOLDER keeps pictures of the pages: wide, phone, dark.
"""
import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from browser import chromium, served  # noqa: E402
from site_config import BASE, ROOT, SOURCE  # noqa: E402

SITE = Path(os.environ['SITE']).resolve()
SHOTS = os.environ.get('SHOTS')
PAGES = sorted(p.relative_to(SITE).as_posix() for p in SITE.rglob('*.html') if 'site_libs' not in p.parts)
NEED_ALT = re.compile(r'(index|get_started)\.html|tutorials/.*')
TUTORIAL = re.compile(r'tutorials/.*')
MAX_BYTES, FIRST_SCREEN = 1_500_000, 900  # of a page with its pictures, pixels
WIDE, PHONE = dict(width=1300, height=1000), dict(width=375, height=812)
FACTS = r'''() => {
  const all = s => [...document.querySelectorAll(s)], shown = x => x.offsetParent !== null || x.getClientRects().length > 0;
  const prose = document.body.cloneNode(true);
  prose.querySelectorAll('pre, code, math, svg, script, style, noscript').forEach(x => x.remove());
  prose.querySelectorAll('p, li, td, div, section, h1, h2, h3, h4').forEach(x => { x.prepend('\n'); x.append('\n') });
  const find = (t, r) => (t.match(r) || []).map(x => x.slice(0, 60));
  const ids = all('[id]').map(x => x.id), main = document.querySelector('main') || document.body;
  return {
    title: document.title, h1: all('h1').map(x => x.innerText.trim()), ids,
    twice: [...new Set(ids.filter((x, i) => ids.indexOf(x) < i))],
    nav: all('#quarto-sidebar a, aside a, nav a').length,
    unset: all('span.math').map(x => x.textContent.slice(0, 60)), math: all('math').length,
    flat: all('math').filter(x => shown(x) && !x.getBoundingClientRect().width).length,
    merror: all('merror, mjx-merror, .katex-error').map(x => x.textContent.slice(0, 60)),
    raw: [...find(prose.textContent, /^\s*:::+.*$|\?@(fig|eq|tbl|sec)-[\w-]+|\$\$|\\[([]|\\(begin|end|frac|sum|text|mathrm|left|right)\b|\]\([\w.\/#-]+\)/gm),
          ...all('pre').flatMap(x => find(x.textContent, /^#\s*\|.*$/gm))],
    broken: [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src.slice(0, 80)),
    mute: [...main.querySelectorAll('img')].filter(i => !(i.getAttribute('alt') || '').trim()).map(i => i.src.slice(0, 60))
      .concat([...main.querySelectorAll('svg')].filter(s => !s.closest('[aria-hidden=true]') && shown(s) && !(s.getAttribute('aria-label') || s.querySelector('title') || s.getAttribute('alt'))).map(s => 'svg')),
    picture: Math.min(...[...main.querySelectorAll('img, svg')].map(x => x.getBoundingClientRect()).filter(b => b.width > 100).map(b => b.bottom + scrollY), 1e6),
    links: all('a[href]').map(a => a.href), local: [...document.images].map(i => i.currentSrc || i.src),
    error: all('.cell-output-error').length,
    font: parseFloat(getComputedStyle(main.querySelector('p') || main).fontSize)}}'''
TOO_WIDE = '''() => document.documentElement.scrollWidth <= screen.width + 1 ? [] :
  [`page ${document.documentElement.scrollWidth} px wide on a phone of ${screen.width}`].concat([...document.querySelectorAll('main *')]
    .filter(x => x.getBoundingClientRect().right > screen.width + 1 && ![...function*(e) { while (e = e.parentElement) yield e }(x)].some(p => getComputedStyle(p).overflowX != 'visible'))
    .slice(0, 3).map(x => `  ${x.tagName} ${x.className} ${x.textContent.trim().slice(0, 60)}`))'''
CONTRAST = '''() => {
  const rgb = s => s.match(/[\\d.]+/g).map(Number), lum = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
  const back = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > .5) return c } return [255, 255, 255] };
  const ratio = e => { const [a, b] = [lum(rgb(getComputedStyle(e).color)), lum(back(e))].sort((x, y) => y - x); return (a + .05) / (b + .05) };
  return [...document.querySelectorAll('main p, main li, main td, main th, main h1, main h2, main pre code span, main pre code, main a, .source-link a, nav a, nav .bi')].filter(e => e.offsetParent && (e.innerText && e.innerText.trim() || e.matches('.bi')))
    .filter(e => ratio(e) < 4.5 - 1e-6).map(e => `${e.tagName}.${e.className} ${e.innerText.trim().slice(0, 30)}: ${ratio(e).toFixed(1)}`)}'''


@pytest.fixture(scope='session')
def browser():
    with chromium() as b: yield b


@pytest.fixture(scope='session')
def root():
    with served(SITE) as address: yield address


def elsewhere(route, said):
    "Pages stand alone, but for the fonts that Quarto's themes name: these get an empty answer, so the fallback is what is seen."
    if route.request.url.startswith('https://fonts.googleapis.com/'): return route.fulfill(status=200, content_type='text/css', body='')
    said.append(f'asks another host: {route.request.url[:100]}')
    route.abort()


def opened(browser, root, name):
    "A page, and the list that collects what the browser complains of"
    said = []
    page = browser.new_page(viewport=WIDE, color_scheme='light')
    page.set_default_timeout(120_000)
    page.on('console', lambda m: said.append(f'console: {m.text[:100]}') if m.type == 'error' else None)
    page.on('pageerror', lambda e: said.append(f'script error: {str(e)[:100]}'))
    page.on('response', lambda r: said.append(f'{r.status} {r.url}') if r.status >= 400 else None)
    page.route(lambda url: not url.startswith((root, 'data:', 'blob:')), lambda route: elsewhere(route, said))
    page.goto(root + name, wait_until='load')
    page.wait_for_timeout(150)
    return page, said


def lead_nowhere(links, root, ids):
    "Links within the site, to the published site and to the repository's files whose target does not exist"
    for url in sorted(set(links)):
        if url.startswith(SOURCE):
            path, _, line = unquote(url[len(SOURCE):]).partition('#L')
            file = ROOT / path
            if not file.exists(): yield f'dead link to the source: {url}'
            elif line and int(line) > len(file.read_text(encoding='utf-8').splitlines()): yield f'no such line: {url}'
            continue
        if url.startswith(BASE): url = root + url[len(BASE):].lstrip('/')
        if not url.startswith(root): continue
        path, _, anchor = url[len(root):].partition('#')
        path = unquote(path.split('?')[0]) or 'index.html'
        if path.endswith('/'): path += 'index.html'
        file = SITE / path
        if not file.is_file(): yield f'dead link: {path}'
        elif anchor and path.endswith('.html') and unquote(anchor) not in ids(path): yield f'dead anchor: {path}#{anchor}'


@pytest.fixture(scope='session')
def ids():
    @__import__('functools').cache
    def of(path): return set(re.findall(r'\bid="([^"]+)"', (SITE / path).read_text(encoding='utf-8'))) | {'', 'top'}
    return of


def drag(page):
    "What is wrong with the sliders: dragging one, or the arrow keys, must change what its figure shows, and back"
    for k, slider in enumerate(page.query_selector_all('input[type=range]')):
        figure = slider.evaluate_handle("x => x.closest('.cliff-slider') || x.closest('.cell-output-display') || x.parentElement.parentElement").as_element()
        slider.scroll_into_view_if_needed()
        shows = lambda: figure.evaluate("x => [...x.querySelectorAll('*')].filter(e => e.getClientRects().length && !e.matches('input, label, output')).map(e => e.outerHTML).join('')")  # noqa: E731
        lo, hi, at = slider.evaluate('x => [+x.min, +(x.max || 100), +x.value]')
        box, before = slider.bounding_box(), shows()
        x = lambda share: box['x'] + 8 + share * (box['width'] - 16)  # noqa: E731
        y, start = box['y'] + box['height'] / 2, (at - lo) / (hi - lo)
        page.mouse.move(x(start), y); page.mouse.down(); page.mouse.move(x(.5 if start < .3 else 0), y, steps=6)
        halfway, value = shows(), slider.evaluate('x => +x.value')
        page.mouse.move(x(start), y, steps=6); page.mouse.up()
        if value == at or halfway == before: yield f'slider {k}: dragging it changes nothing (value {at} -> {value})'
        elif shows() != before: yield f'slider {k}: dragged back, it shows something else'
        slider.focus(); page.keyboard.press('ArrowRight' if at < hi else 'ArrowLeft')
        if shows() == before: yield f'slider {k}: arrow keys change nothing'
        if not slider.evaluate("x => x.getAttribute('aria-label') || x.labels.length"): yield f'slider {k}: has no label'


def problems(browser, root, name, ids):
    "Everything that is wrong with a page"
    page, bad = opened(browser, root, name)
    f = page.evaluate(FACTS)
    if len(f['h1']) != 1 or not all(f['h1']): bad.append(f"{len(f['h1'])} titles: {f['h1']}")
    if not f['title'].strip(): bad.append('no title for the tab')
    if f['nav'] < 10: bad.append(f"navigation has {f['nav']} links")
    bad += [f"id used twice: {x}" + f" and {len(f['twice']) - 1} more" * (len(f['twice']) > 1) for x in f['twice'][:1]]
    bad += [f'maths not rendered: {x}' for x in f['unset'] + f['merror']]
    if f['flat']: bad.append(f"{f['flat']} formulas without width")
    bad += [f'left as text: {x!r}' for x in f['raw']]
    bad += [f'picture not loaded: {x}' for x in f['broken']]
    if f['error']: bad.append('the output of a cell is an error')
    if NEED_ALT.fullmatch(name): bad += [f'picture without alt text: {x}' for x in f['mute']]
    if TUTORIAL.fullmatch(name) and f['picture'] > FIRST_SCREEN: bad.append(f"no picture in the first screen: the first ends at {f['picture']:.0f} px")
    if f['font'] < 15: bad.append(f"text of {f['font']} px")
    pictures = {x[len(root):] for x in f['local'] if x.startswith(root)}
    size = (SITE / name).stat().st_size + sum((SITE / x).stat().st_size for x in pictures if (SITE / x).is_file())
    if size > MAX_BYTES: bad.append(f'{size // 1000} kB, at most {MAX_BYTES // 1000}')
    bad += lead_nowhere(f['links'], root, ids)
    bad += drag(page)
    if NEED_ALT.fullmatch(name): bad += light_and_dark(page, name)
    page.set_viewport_size(PHONE)
    bad += page.evaluate(TOO_WIDE)
    shot(page, name, 'phone')
    page.close()
    return bad


def shot(page, name, kind):
    if not SHOTS: return
    page.wait_for_timeout(500)  # the menu folds slowly
    page.screenshot(path=f"{SHOTS}/{name.replace('/', '_')}.{kind}.png", full_page=True)


def is_dark(page):
    return page.evaluate("() => getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0) < 300")


def light_and_dark(page, name):
    "What can hardly be read in either scheme, and whether there are two"
    if not (toggle := page.query_selector('.quarto-color-scheme-toggle >> visible=true')): return ['no switch between light and dark']
    bad, seen = [], set()
    for _ in range(2):
        dark = is_dark(page)
        seen.add(dark)
        faint = page.evaluate(CONTRAST)
        if faint: bad.append(f"faint in {'dark' if dark else 'light'}: {', '.join(faint[:6])} ({len(faint)} in all)")
        shot(page, name, 'dark' if dark else 'light')
        toggle.click()
        page.wait_for_timeout(200)
    return bad + ['the switch between light and dark changes nothing'] * (len(seen) < 2)


@pytest.mark.parametrize('name', PAGES)
def test_page(browser, root, ids, name):
    bad = problems(browser, root, name, ids)
    assert not bad, '\n' + '\n'.join(bad)


def test_search(browser, root):
    page, bad = opened(browser, root, 'index.html')
    page.keyboard.press('/')
    page.keyboard.type('bandwidth', delay=20)
    page.wait_for_function("() => [...document.querySelectorAll('a[href]')].some(a => a.offsetParent && a.innerText.toLowerCase().includes('bandwidth') && a.href.includes('.html'))", timeout=120_000)
    assert not bad, bad


def test_every_notebook_has_a_page_in_the_navigation(browser, root):
    page, _ = opened(browser, root, 'index.html')
    linked = {x.split('#')[0][len(root):] for x in page.evaluate("() => [...document.querySelectorAll('#quarto-sidebar a[href], aside a[href]')].map(a => a.href)")}
    assert set(PAGES) - linked == set(), 'made, but not in the sidebar of _quarto.yml'


# A check that cannot fail is none: a page with every defect.
HEAD = '<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width"><title>t</title><link rel="icon" href="data:,"></head><body style="background:#fff"><nav>'
GOOD = HEAD + '<a href="../index.html">x</a>' * 12 + """</nav><main><h1>T</h1><p>text</p>{}</main><button class="quarto-color-scheme-toggle"
onclick="const s = document.body.style; [s.background, s.color] = s.color ? ['#fff', ''] : ['#000', '#fff'];
document.querySelectorAll('a').forEach(a => a.style.color = s.color)">dark</button></body></html>"""
PIXEL = 'data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA='
SLIDER = '<div class="cliff-slider"><label>a <input type="range" min="0" max="9" value="0" oninput="{}"></label><div class="frame">0</div></div>'
SOUND = f'<img src="{PIXEL}" alt="a dot" width="200" height="100"><a href="#x" id="x">x</a>' + SLIDER.format("this.closest('.cliff-slider').querySelector('.frame').textContent=this.value")
DEFECTS = {
    '<h1>two</h1>': '2 titles', '<span class="math inline">\\(x\\)</span>': 'maths not rendered', '<p>:::</p>': "left as text: ':::'", '<p>$$x$$</p>': "left as text: '$$'",
    '<p>\\frac{a}{b}</p>': 'frac', '<p>[fit](train.ipynb)</p>': "left as text: '](train.ipynb)'", '<pre>#| hide</pre>': "left as text: '#| hide'", '<img src="none.png" alt="x">': 'picture not loaded', f'<img src="{PIXEL}">': 'without alt text', f'<img src="{PIXEL}" alt="x" width="200" style="margin-top:900px">': 'no picture in the first screen',
    '<a href="none.html">x</a>': 'dead link: tutorials/none.html', '<a href="../index.html#none">x</a>': 'dead anchor', f'<a href="{BASE}/gone.html">x</a>': 'dead link: gone.html',
    f'<a href="{SOURCE}none.py">x</a>': 'dead link to the source', f'<a href="{SOURCE}setup.py#L9999">x</a>': 'no such line', '<div id="a"></div><div id="a"></div>': 'id used twice: a',
    '<div style="width:900px">wide</div>': 'wide on a phone', '<script>throw Error("no")</script>': 'script error', '<script>console.error("no")</script>': 'console: no',
    '<script src="https://cdn.example.org/x.js"></script>': 'asks another host', '<!--' + 'x' * MAX_BYTES + '-->': 'kB, at most', SLIDER.format(''): 'changes nothing',
    '<div class="cell-output-error">x</div>': 'is an error', '<style>p {font-size: 9px}</style>': 'text of 9', '<p style="color:#999">x</p>': 'faint in light'}


@pytest.mark.parametrize('body', ['', SOUND, ''.join(DEFECTS)], ids=['empty', 'sound', 'defects'])
def test_the_checks_see(browser, root, ids, body):
    name = f'tutorials/defect-{os.getpid()}.html'
    try:
        (SITE / name).write_text(GOOD.replace('{}', body), encoding='utf-8')
        bad = problems(browser, root, name, ids)
    finally: (SITE / name).unlink()
    if body == SOUND: assert bad == []
    elif body == '': assert len(bad) == 1 and 'no picture in the first screen' in bad[0]
    else: assert (unseen := [e for e in DEFECTS.values() if not any(e in b for b in bad)]) == [], (unseen, bad)
