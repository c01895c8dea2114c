"""What scenes.py draws. Each function paints on a Canvas. Each material has its own texture and lightness, and a
colorizer can learn its colour from them."""
import numpy as np

__all__ = ["SUBJECTS"]

f32 = np.float32

# ------------------------------------------------------------------ outdoors: sky, land, what stands on it


def horizon(c, low=0.2, high=0.8):
    """The depth below a tilted horizon, (size, size): negative in the sky."""
    return c.y - f32(c.plan.uniform(low, high)) - f32(c.plan.normal(0, 0.05)) * (c.x - 0.5)


def sky(c, below):
    """Paint a sky with clouds or a sunset. Returns the colour of the light on the land."""
    up = -below / max(float((-below).max()), 0.05)
    if c.look.random() < 0.22:
        c.rgb[:] = c.blend(up, c.colour(1, 0.72, 0.38), c.colour(0.93, 0.5, 0.4), c.colour(0.42, 0.32, 0.5))
        x, y = c.plan.uniform(0.1, 0.9), float((c.y - below)[0, 0]) - c.plan.uniform(0.02, 0.2)
        d = c.radius(x, y, 1, 1)
        c.rgb += np.exp(-(d * 5) ** 2) * np.array([0.35, 0.2, 0.02], "float32")[:, None, None]
        c.paint(c.inside(0.055 - d), c.colour(1.05, 0.95, 0.7))
        streaks = (c.fill("water", 0.6) * 0.5 + c.fill("cloud", 0.6, y=c.y * 3) - 0.7).clip(0, 1) * 0.7
        c.paint(streaks, c.colour(0.75, 0.38, 0.42))
        return np.array([0.62, 0.46, 0.42], "float32")
    c.rgb[:] = c.blend(up, c.colour(0.8, 0.9, 0.97), c.colour(0.5, 0.72, 0.93), c.colour(0.25, 0.5, 0.84))
    cover = c.look.uniform(-1.4, 0.5)
    puffs = c.fill("cloud", c.look.uniform(0.5, 1), y=c.y * 1.8) + 0.12 * c.fill("leaves", 0.7)
    mask = ((puffs + cover) * 1.6).clip(0, 1)
    c.paint(mask * 0.95, c.colour(0.97, 0.97, 0.98, 0.02), (1.02 - 0.12 * (puffs + cover)).clip(0.72, 1.05))
    return np.array([1, 1, 1], "float32")


def mountains(c, below, light):
    top = c.plan.uniform(0.08, 0.22) * (1 + 0.45 * c.ridge(3)[None])
    height = below + top.clip(0.02, 0.4)
    mask = c.inside(np.minimum(height, -below + 0.02))
    rock = c.fill("rock", 0.9) * 0.22 + c.fill("rock", 2.5, x=c.x + 0.6 * c.y) * 0.12
    c.paint(mask, c.colour(0.47, 0.46, 0.52) * light, 0.95 + rock)
    if c.plan.random() < 0.6:
        snow = mask * c.inside(0.07 + 0.03 * rock * 4 - height, 3)
        c.paint(snow, c.colour(0.94, 0.96, 1.0) * light, 0.97 + 0.3 * rock.clip(-0.5, 0.2))


def far_trees(c, below, light):
    line = c.plan.uniform(0.02, 0.09) * (1 + 0.35 * c.ridge(9, 0.7)[None])
    mask = c.inside(np.minimum(below + line, 0.02 - below))
    c.paint(mask, c.colour(0.17, 0.31, 0.16) * light, 0.9 + 0.35 * c.fill("leaves", 1.6))


def meadow(c, below, light):
    blades = c.ground("grass", below, 0.8)
    hills = c.smooth(3, 3)
    green = c.blend(0.5 + 0.22 * hills, c.colour(0.3, 0.48, 0.14), c.colour(0.52, 0.65, 0.24))
    c.paint(c.inside(below), green * light[:, None, None], 0.88 + 0.17 * blades + 0.08 * hills)
    if c.plan.random() < 0.5:
        dots = c.ground("dimples", below, 0.7) * 1.2 + 0.4 * c.smooth(4, 4)
        kind = c.look.integers(2)
        petals = (c.colour(0.85, 0.13, 0.12), c.colour(1.0, 0.88, 0.2))[kind]        # poppies dark, dandelions bright
        c.paint(c.inside(below) * ((dots - 2.0) * 4).clip(0, 1), petals * light)


def sea(c, below, light):
    waves = c.ground("water", below, 0.55)
    deep = c.blend(below * 1.6, c.colour(0.36, 0.6, 0.72), c.colour(0.1, 0.38, 0.55), c.colour(0.06, 0.3, 0.45))
    c.paint(c.inside(below), deep * (0.25 + 0.75 * light[:, None, None]), 0.95 + 0.2 * waves)
    c.paint(c.inside(below) * ((waves - 1.5) * 1.5).clip(0, 0.8), c.colour(0.95, 0.97, 0.98) * light)


def beach(c, below, light):
    sea(c, below, light)
    slope = c.plan.normal(0, 0.35)
    shore = below - f32(c.plan.uniform(0.08, 0.4)) - f32(slope) * (c.x - 0.5) - 0.02 * c.ridge(4)[None]
    sand = c.inside(shore)
    c.paint(sand, c.colour(0.88, 0.77, 0.56) * light, 0.97 + 0.05 * c.fill("grain", 1.3) + 0.04 * c.smooth(4, 6))
    foam = np.exp(-(shore / 0.02) ** 2) * (0.8 + 0.3 * c.fill("leaves", 1.2)).clip(0, 1)
    c.paint(foam, c.colour(0.97, 0.98, 0.98) * light)


def desert(c, below, light):
    for i in range(c.plan.integers(2, 5)):
        dune = below - i * f32(c.plan.uniform(0.08, 0.2)) + 0.04 * c.ridge(2, 0.1)[None]
        ripples = c.ground("water", dune, 1.2)
        side = np.tanh(c.smooth(2, 2) * 2)
        c.paint(c.inside(dune), c.colour(0.86, 0.6, 0.34) * light, 0.92 + 0.06 * ripples + 0.16 * side)


def snowfield(c, below, light):
    c.paint(c.inside(below), c.colour(0.9, 0.93, 0.98) * light, 0.98 + 0.07 * c.smooth(4, 5))
    c.paint(c.inside(below) * (c.smooth(3, 6) * 0.4 - 0.2).clip(0, 0.4), c.colour(0.6, 0.7, 0.88) * light)


def conifer(c, x, foot, height, light):
    c.paint(c.box(x - height * 0.03, foot - height * 0.2, x + height * 0.03, foot), c.colour(0.3, 0.2, 0.13) * light)
    green, leaves = c.colour(0.12, 0.3, 0.2) * light, 0.95 + 0.3 * c.fill("leaves", 2)
    for part in (0.85, 0.62, 0.4):
        mask = c.triangle(x, foot - height, foot - height * (1 - part), height * 0.28 * part)
        c.paint(mask, green, (leaves - 1.8 * (c.x - x)).clip(0.3, 1.6))


def tree(c, x, foot, height, light):
    trunk = c.box(x - height * 0.04, foot - height * 0.5, x + height * 0.04, foot)
    c.paint(trunk, c.colour(0.36, 0.25, 0.16) * light, 1 + 0.2 * c.fill("wood", 1, x=c.y, y=c.x * 4))
    leaves = c.fill("leaves", c.plan.uniform(1, 1.6))
    r, y = height * 0.33, foot - height * 0.64
    edge = 1 + 0.1 * leaves - c.radius(x, y, r, r * c.plan.uniform(0.9, 1.25))
    lit = -0.9 * (c.x - x) / r * 0.3 - (c.y - y) / r * 0.3
    c.paint(c.inside(edge * f32(r)), c.colour(0.25, 0.44, 0.14) * light, (0.9 + 0.3 * leaves + lit).clip(0.25, 1.7))


def house(c, x, foot, w, light):
    """Paint a house with red-brown bricks or smooth cream walls, and rows of red tiles on the roof."""
    h, left, right = w * c.plan.uniform(0.5, 0.9), x - w / 2, x + w / 2
    wall = c.box(left, foot - h, right, foot)
    if c.plan.random() < 0.5:
        rows = np.floor(c.y / f32(h / 9))
        joints = np.maximum(abs((c.y / f32(h / 9)) % 1 - 0.5), abs((c.x / f32(h / 5) + rows * 0.5) % 1 - 0.5)) > 0.42
        c.paint(wall, c.colour(0.62, 0.32, 0.24) * light, 0.95 + 0.3 * joints + 0.08 * c.fill("grain"))
    else:
        c.paint(wall, c.colour(0.93, 0.87, 0.74) * light, 1 + 0.02 * c.fill("rock"))
    ridge = foot - h - w * c.plan.uniform(0.3, 0.5)
    flat = c.plan.choice([0, w * 0.3])
    tiles = 0.92 + 0.14 * np.sin(c.y * f32(60 / max(w, 0.15))) + 0.1 * c.fill("grain", 0.8)
    c.paint(c.triangle(x, ridge, foot - h, w * 0.58, flat), c.colour(0.66, 0.27, 0.17) * light, tiles)
    for i in range(2):
        at = left + w * (0.27 + 0.46 * i)
        frame = c.box(at - w * 0.1, foot - h * 0.8, at + w * 0.1, foot - h * 0.42)
        c.paint(frame, c.colour(0.97, 0.96, 0.93) * light)
        c.paint(c.box(at - w * 0.075, foot - h * 0.75, at + w * 0.075, foot - h * 0.46), c.colour(0.22, 0.31, 0.42),
                1.3 - 3 * (c.y - foot + h * 0.8))
    c.paint(c.box(x - w * 0.08, foot - h * 0.4, x + w * 0.08, foot), c.colour(0.4, 0.25, 0.14) * light)


def boat(c, x, y, size, light):
    c.paint(c.triangle(x + size * 0.06, y - size, y - size * 0.12, size * 0.36), c.colour(0.97, 0.96, 0.92) * light,
            1.05 - 0.9 * (c.x - x + 0.1))
    ends, sides = size * 0.45 - abs(c.x - x) - (c.y - y) * 1.2, size * 0.1 - abs(c.y - y)
    hull = c.inside(np.minimum(ends, sides))
    c.paint(hull, c.colour(0.7, 0.16, 0.12) * light, 1.1 - 2 * (c.y - y))


def landscape(c):
    below = horizon(c)
    light = sky(c, below)
    level = float((c.y - below)[0].mean())
    land = c.plan.choice(["meadow", "sea", "beach", "desert", "snow"], p=[0.36, 0.17, 0.2, 0.12, 0.15])
    if land in ("meadow", "snow", "sea") and c.plan.random() < 0.5:
        mountains(c, below, light)
    if land in ("meadow", "snow") and c.plan.random() < 0.5:
        far_trees(c, below, light)
    {"meadow": meadow, "sea": sea, "beach": beach, "desert": desert, "snow": snowfield}[land](c, below, light)
    if land in ("sea", "beach"):
        for _ in range(c.plan.integers(0, 3)):
            x, down, length = c.plan.uniform((0.1, 0.005, 0.08), (0.9, 0.05, 0.22))
            boat(c, x, level + down, length, light)
    if land in ("meadow", "snow"):
        feet = np.sort(c.plan.uniform(0.01, 0.45, c.plan.integers(0, 6)))
        kind = conifer if land == "snow" or c.plan.random() < 0.35 else tree
        if c.plan.random() < 0.45:
            foot = c.plan.uniform(0.03, 0.3)
            house(c, c.plan.uniform(0.15, 0.85), level + foot, 0.15 + 0.7 * foot, light)
        for foot in feet:
            x, height = c.plan.uniform(-0.05, 1.05), (0.18 + 1.1 * foot) * c.plan.uniform(0.8, 1.3)
            c.shadow(c.ellipse(x + height * 0.12, level + foot, height * 0.35, height * 0.05, soft=3), 0.35)
            kind(c, x, level + foot, height, light)


def night(c):
    """Paint lit windows and the moon under a dark blue sky, and their reflection in the water."""
    level = c.plan.uniform(0.5, 1.05)
    c.rgb[:] = c.blend(c.y / level, c.colour(0.03, 0.05, 0.17), c.colour(0.08, 0.13, 0.33),
                       c.colour(0.22, 0.24, 0.42))
    c.paint((c.fill("dimples", 1.1) > 3.1).astype("float32") * 0.8, c.colour(0.9, 0.92, 1))
    x, y, r = *c.plan.uniform(0.1, 0.9, 2) * (1, 0.4), c.plan.uniform(0.035, 0.07)
    c.rgb += np.exp(-(c.radius(x, y, r * 3, r * 3)) ** 2) * np.array([0.2, 0.2, 0.16], "float32")[:, None, None]
    c.paint(c.ellipse(x, y, r, r), c.colour(0.97, 0.95, 0.82), 1 + 0.06 * c.fill("rock", 1.5))
    x = -0.05
    while x < 1:
        w, h = c.plan.uniform(0.09, 0.22), c.plan.uniform(0.12, 0.5)
        c.paint(c.box(x, level - h, x + w, level), c.colour(0.07, 0.07, 0.13))
        n = 0.028
        lit = c.fill("grain", 0.5, np.floor(c.x / f32(n)) * 0.37, np.floor(c.y / f32(n * 1.3)) * 0.29) > 0.35
        pane = (abs((c.x / f32(n)) % 1 - 0.5) < 0.3) & (abs((c.y / f32(n * 1.3)) % 1 - 0.5) < 0.28)
        front = c.box(x + 0.012, level - h + 0.02, x + w - 0.012, level - 0.02)
        c.paint(front * (lit & pane), c.colour(1, 0.78, 0.33))
        x += w + c.plan.uniform(-0.03, 0.05)
    line = min(int(level * c.size), c.size)
    if line < c.size:
        rows = (2 * line - np.arange(line, c.size) - 1).clip(0)
        c.rgb[:, line:] = c.rgb[:, rows] * 0.6 + np.array([0.0, 0.01, 0.04], "float32")[:, None, None]
        c.rgb[:, line:] *= (1 + 0.25 * c.fill("water", 1.2))[line:]


def fields(c):
    """Paint land from above. Each field has its own crop, with rows in their own direction."""
    n = c.plan.integers(5, 12)
    at = c.plan.uniform(-0.1, 1.1, (n, 2)).astype("float32")
    wobble = 0.02 * c.smooth(5, 5)
    d = np.stack([(c.x - x) ** 2 + (c.y - y) ** 2 + wobble for x, y in at])
    nearest, order = d.argmin(0), np.sort(d, 0)
    for i in range(n):
        a, crop = c.plan.uniform(0, np.pi), c.plan.integers(4)
        along = c.x * f32(np.cos(a)) + c.y * f32(np.sin(a))
        across = c.y * f32(np.cos(a)) - c.x * f32(np.sin(a))
        mask = (nearest == i).astype("float32")
        if crop == 0:
            c.paint(mask, c.colour(0.34, 0.5, 0.18), 0.9 + 0.22 * c.fill("leaves", 1.4))
        elif crop == 1:                     # ripe wheat: bright, in fine rows
            c.paint(mask, c.colour(0.87, 0.72, 0.36), 0.97 + 0.09 * c.fill("wood", 1.3, along, across))
        elif crop == 2:                     # ploughed: dark, in coarse furrows
            c.paint(mask, c.colour(0.43, 0.29, 0.2), 0.95 + 0.28 * np.sin(across * 95) + 0.08 * c.fill("grain"))
        else:
            c.paint(mask, c.colour(0.45, 0.63, 0.25), 0.97 + 0.06 * c.fill("rock", 1.5) + 0.04 * np.sin(across * 40))
    c.paint(((0.018 - (np.sqrt(order[1].clip(0)) - np.sqrt(order[0].clip(0)))) * c.size).clip(0, 1),
            c.colour(0.72, 0.66, 0.55))
    if c.plan.random() < 0.4:
        bed = c.y - c.plan.uniform(0.2, 0.8) - 0.12 * c.ridge(2, 0.2)[None]
        c.paint(c.inside(0.045 - abs(bed)), c.colour(0.2, 0.42, 0.55), 1 + 0.1 * c.fill("water", 1.0))


# ------------------------------------------------------------------ close by


def backdrop(c):
    """Paint what is behind a subject: leaves out of focus, a bright wall, or a dark wall."""
    kind = c.plan.integers(3)
    soft = 0.5 * c.smooth(4, 4) + 0.35 * c.smooth(8, 8)
    if kind == 0:
        c.rgb[:] = c.blend(0.5 + 0.5 * soft, c.colour(0.1, 0.22, 0.1), c.colour(0.27, 0.42, 0.2),
                           c.colour(0.56, 0.66, 0.36))
    elif kind == 1:
        c.paint(f32(1), c.colour(0.9, 0.85, 0.76), 1 - 0.22 * (c.y + 0.6 * c.x) + 0.02 * c.fill("rock"))
    else:
        c.paint(f32(1), c.colour(0.27, 0.33, 0.4), 1.2 - 0.5 * c.y + 0.05 * c.fill("rock"))


def fruit(c, kind, x, y, r):
    if kind == "orange":
        c.ball(x, y, r, c.colour(0.98, 0.58, 0.1), 1 + 0.07 * c.fill("dimples", 1.6))
        c.paint(c.ellipse(x + r * 0.1, y - r * 0.8, r * 0.09, r * 0.05), c.colour(0.3, 0.4, 0.12))
    elif kind == "apple":
        c.ball(x, y, r, c.colour(0.76, 0.1, 0.13), 1 + 0.13 * c.fill("fur", 0.8, y=c.y * 0.6), 0.94, gloss=0.5)
        c.paint(c.box(x - r * 0.05, y - r * 1.25, x + r * 0.05, y - r * 0.72), c.colour(0.33, 0.22, 0.12))
        c.paint(c.ellipse(x + r * 0.3, y - r * 1.1, r * 0.28, r * 0.11, -0.5), c.colour(0.28, 0.5, 0.16))
    elif kind == "lemon":
        a = c.plan.uniform(-0.7, 0.7)
        c.ball(x + r * np.cos(a) * 1.05, y + r * np.sin(a) * 1.05, r * 0.22, c.colour(0.95, 0.84, 0.2), angle=a)
        c.ball(x, y, r * 1.1, c.colour(1.0, 0.9, 0.22), 1 + 0.04 * c.fill("dimples", 1.2), 0.74, a)
    elif kind == "plum":
        c.ball(x, y, r * 0.8, c.colour(0.33, 0.15, 0.36), 1 + 0.1 * c.fill("rock"), 1.1, gloss=0.2)
    elif kind == "pear":
        green, spots = c.colour(0.7, 0.76, 0.26), 1 + 0.06 * c.fill("grain", 0.9)
        c.ball(x, y - r * 0.75, r * 0.52, green, spots)
        c.ball(x, y, r * 0.88, green, spots)
        c.paint(c.box(x - r * 0.05, y - r * 1.6, x + r * 0.05, y - r * 1.2), c.colour(0.33, 0.22, 0.12))
    else:                                   # grapes
        for row in range(4):
            for i in range(4 - row):
                c.ball(x + r * 0.5 * (i - (3 - row) / 2), y - r * 0.5 + r * 0.42 * row, r * 0.29,
                       c.colour(0.3, 0.14, 0.34), gloss=0.45)


def still_life(c):
    backdrop(c)
    edge = c.plan.uniform(0.25, 0.6)
    below = c.y - f32(edge) - f32(c.plan.normal(0, 0.03)) * (c.x - 0.5)
    if c.plan.random() < 0.6:               # a wooden table; else a white cloth with blue stripes
        planks = 0.12 * ((c.y * 7) % 1 < 0.07)
        c.paint(c.inside(below), c.colour(0.6, 0.4, 0.24), 0.98 + 0.13 * c.fill("wood", 0.8) - planks - 0.2 * below)
    else:
        c.paint(c.inside(below), c.colour(0.95, 0.95, 0.93), 1 - 0.2 * below + 0.04 * c.smooth(6, 3))
        lines = c.inside(below) * (abs(((c.x - 0.5) / (below + 0.5) * 5) % 1 - 0.5) < 0.09)
        c.paint(lines * 0.9, c.colour(0.25, 0.38, 0.66))
    kinds = ["orange", "apple", "lemon", "plum", "pear", "grapes"]
    n = c.plan.integers(2, 6)
    xs = c.plan.permutation(np.linspace(0.14, 0.86, n)) + c.plan.normal(0, 0.04, n)
    for x, foot in zip(xs, np.sort(c.plan.uniform(edge + 0.1, 0.98, n))):
        r = c.plan.uniform(0.09, 0.14) * (0.7 + 0.6 * (foot - edge))
        kind = kinds[c.plan.integers(len(kinds))]
        c.shadow(c.ellipse(x + r * 0.5, foot - r * 0.05, r * 1.3, r * 0.35, soft=5))
        fruit(c, kind, x, foot - r * (0.75 if kind in ("lemon", "plum") else 0.85), r)


def blossom(c, x, y, r, kind):
    turn = c.plan.uniform(0, 6)
    dx, dy = c.x - f32(x), c.y - f32(y)
    angle, d = np.arctan2(dy, dx) + f32(turn), np.sqrt(dx * dx + dy * dy) / f32(r)
    petals, heart, n, round_, size = {"daisy": ((0.97, 0.96, 0.94), (0.95, 0.76, 0.15), 13, 0.3, 0.3),
                                      "sunflower": ((0.98, 0.76, 0.1), (0.33, 0.2, 0.1), 17, 0.25, 0.48),
                                      "rose": ((0.86, 0.3, 0.5), (0.97, 0.85, 0.4), 5, 0.35, 0.16)}[kind]
    wave = abs(np.cos(angle * f32(n / 2)))
    rim = 1 - f32(round_) * (1 - wave) ** 1.5
    gaps = 1 - 0.4 * np.exp(-(wave / 0.22) ** 2) * (d > size)
    c.shadow(c.inside((rim * 1.04 - c.radius(x + r * 0.08, y + r * 0.1, r, r)) * f32(r), 4), 0.35)
    c.paint(c.inside((rim - d) * f32(r)), c.colour(*petals), (1.08 - 0.25 * (1 - d).clip(0, 1)) * gaps)
    c.ball(x, y, r * size, c.colour(*heart), 1 + 0.18 * c.fill("dimples", 1.6), gloss=0)


def flowers(c):
    green = 0.32 * c.smooth(6, 6) + 0.3 * c.fill("leaves", 0.5)
    c.rgb[:] = c.blend(0.45 + 0.4 * green, c.colour(0.07, 0.17, 0.07), c.colour(0.2, 0.38, 0.13),
                       c.colour(0.45, 0.6, 0.24))
    kind = ["daisy", "sunflower", "rose"][c.plan.integers(3)]
    for r in np.sort(c.plan.uniform(0.09, 0.24, c.plan.integers(2, 7))):
        blossom(c, *c.plan.uniform(0.08, 0.92, 2), r, kind)


SKINS = (0.93, 0.73, 0.6), (0.77, 0.55, 0.4), (0.48, 0.31, 0.22)
HAIRS = (0.17, 0.11, 0.08), (0.4, 0.25, 0.14), (0.82, 0.65, 0.36)


def face(c, x, y, r, skin, hair):
    side = (c.x - f32(x)) / f32(r)
    c.paint(c.ellipse(x, y + r * 0.08, r * 0.82, r * 1.14), skin, 1.02 - 0.2 * side * abs(side) - 0.1 * (c.y - y) / r)
    for s in (-1, 1):
        cheek = c.ellipse(x + s * r * 0.45, y + r * 0.42, r * 0.24, r * 0.2, soft=6)
        c.paint(cheek * f32(0.35), c.colour(0.85, 0.4, 0.35) * (0.4 + 0.6 * skin[0]))
        c.paint(c.ellipse(x + s * r * 0.34, y, r * 0.15, r * 0.085), c.colour(0.96, 0.95, 0.93, 0.02))
        c.paint(c.ellipse(x + s * r * 0.34, y, r * 0.075, r * 0.08), c.colour(0.2, 0.13, 0.09))
        c.paint(c.ellipse(x + s * r * 0.34, y - r * 0.22, r * 0.2, r * 0.045, s * 0.12), hair * 0.8)
    c.shadow(c.ellipse(x + r * 0.06, y + r * 0.38, r * 0.12, r * 0.16, soft=4), 0.2)
    smile = c.ellipse(x, y + r * 0.64, r * 0.3, r * 0.15) * (1 - c.ellipse(x, y + r * 0.54, r * 0.4, r * 0.13))
    c.paint(smile, c.colour(0.74, 0.27, 0.27) * (0.5 + 0.5 * skin[0]))


def portrait(c):
    backdrop(c)
    x, y, r = c.plan.uniform(0.32, 0.68), c.plan.uniform(0.34, 0.5), c.plan.uniform(0.15, 0.24)
    skin = c.colour(*SKINS[c.look.integers(3)], 0.03)
    hair = c.colour(*HAIRS[c.look.integers(3)])
    strands, long = 1 + 0.2 * c.fill("fur", 1), c.plan.random() < 0.5
    c.paint(c.ellipse(x, y - r * 0.12, r * 0.98, r * 1.32), hair, strands)
    if long:
        c.paint(c.ellipse(x, y + r * 0.6, r * 1.12, r * 1.5), hair, strands * (1.1 - 0.3 * c.y))
    c.paint(c.ellipse(x, y + r * 1.3, r * 0.42, r * 0.7), skin, 0.72)
    body = c.ellipse(x, y + r * 2.9, r * 1.9, r * 1.45)
    cloth, folds = c.plan.integers(3), 1 + 0.1 * c.smooth(6, 4)
    if cloth == 0:                          # striped blue; then knitted red and plain white
        c.paint(body, c.colour(0.2, 0.32, 0.58), folds + 0.5 * (np.sin(c.y * 90) > 0.3))
    elif cloth == 1:
        c.paint(body, c.colour(0.62, 0.14, 0.16), folds * (1 + 0.2 * c.fill("dimples", 1.3)))
    else:
        c.paint(body, c.colour(0.94, 0.94, 0.95), folds - 0.15 * (c.y - 0.8))
    face(c, x, y, r, skin, hair)
    fringe = c.ellipse(x, y - r * 0.15, r * 0.92, r * 1.18) * c.inside(
        y - r * c.plan.uniform(0.35, 0.6) - c.y + f32(c.plan.normal(0, 0.3)) * (c.x - x), 2)
    c.paint(fringe, hair, strands * 1.1)


def close_up(c):
    """Paint one material everywhere, so that the place says nothing about the colour."""
    kind = c.plan.integers(6)
    if kind == 0:
        c.paint(f32(1), c.colour(0.36, 0.53, 0.18), 0.9 + 0.25 * c.fill("grass", 0.6) + 0.1 * c.smooth(4, 4))
    elif kind == 1:
        c.paint(f32(1), c.colour(0.22, 0.4, 0.14), 0.9 + 0.4 * c.fill("leaves", c.plan.uniform(0.4, 0.9)))
    elif kind == 2:
        waves = c.fill("water", 0.7) + 0.4 * c.fill("rock", 0.5)
        c.rgb[:] = c.blend(0.45 + 0.22 * waves, c.colour(0.04, 0.26, 0.4), c.colour(0.16, 0.48, 0.62),
                           c.colour(0.75, 0.88, 0.92))
    elif kind == 3:
        a = c.plan.uniform(-0.5, 0.5)
        grain = c.fill("wood", 0.7, c.x + f32(a) * c.y, c.y - f32(a) * c.x)
        c.paint(f32(1), c.colour(0.58, 0.38, 0.22), 0.97 + 0.16 * grain - 0.35 * (((c.x * a + c.y) * 5) % 1 < 0.035))
    elif kind == 4:
        n = f32(c.plan.uniform(7, 12))
        row = np.floor(c.y * n)
        along = c.x * n * f32(0.45) + row * f32(0.5)
        joints = np.maximum(abs((c.y * n) % 1 - 0.5) * 0.96, abs(along % 1 - 0.5)) > 0.43
        tone = c.fill("grain", 0.3, np.floor(along) * f32(0.3), row * f32(0.37))
        c.paint(f32(1), c.colour(0.63, 0.33, 0.25), 0.95 + 0.1 * tone + 0.07 * c.fill("grain"))
        c.paint(joints * f32(0.9), c.colour(0.8, 0.77, 0.72))
    else:
        c.paint(f32(1), c.colour(0.87, 0.76, 0.56), 0.96 + 0.05 * c.fill("grain", 1.2) + 0.06 * c.fill("water", 0.8))


SUBJECTS = {landscape: 0.4, still_life: 0.14, flowers: 0.11, portrait: 0.13, fields: 0.08, night: 0.06,
            close_up: 0.08}                 # and how often
