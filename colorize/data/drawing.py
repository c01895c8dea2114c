"""What scenes.py draws with: a canvas of floating-point RGB, textures, and shapes with soft edges.

Places and lengths are shares of the picture's side: x to the right, y down, both 0..1. Colours are sRGB in 0..1.
"""
import functools

import numpy as np

__all__ = ["Canvas", "texture"]

TILE = 256                  # the side of a texture in pixels


@functools.lru_cache(maxsize=None)
def texture(name):
    """A texture that repeats, float32 (TILE, TILE), of mean 0 and standard deviation 1."""
    fx, fy = np.meshgrid(np.fft.fftfreq(TILE) * TILE, np.fft.fftfreq(TILE) * TILE)
    amplitude = SPECTRA[name](abs(fx), abs(fy), np.hypot(fx, fy) + 1e-6)
    noise = np.random.default_rng(sorted(SPECTRA).index(name)).standard_normal((TILE, TILE))
    tile = np.fft.ifft2(np.fft.fft2(noise) * amplitude * (np.hypot(fx, fy) > 0)).real
    return ((tile - tile.mean()) / tile.std()).astype("float32")


def _ring(f, middle, width):
    return np.exp(-((f - middle) / width) ** 2)


SPECTRA = {                 # amplitude for the frequencies across, down and in any direction, in waves per tile
    "cloud": lambda fx, fy, f: f ** -1.8 * (f < 60),
    "grass": lambda fx, fy, f: np.exp(-(fx / 60) ** 2 - (fy / 14) ** 2) * (0.3 + _ring(fx, 30, 25)),
    "leaves": lambda fx, fy, f: _ring(f, 22, 12) + 0.6 * _ring(f, 8, 4),
    "water": lambda fx, fy, f: np.exp(-(fx / 7) ** 2) * (_ring(fy, 26, 16) + 0.5 * _ring(fy, 8, 4)),
    "grain": lambda fx, fy, f: _ring(f, 75, 35),
    "rock": lambda fx, fy, f: f ** -1.1 * np.exp(-(f / 70) ** 2),
    "wood": lambda fx, fy, f: np.exp(-(fx / 2.5) ** 2) * (fy + 4) ** -0.6 * np.exp(-(fy / 60) ** 2),
    "fur": lambda fx, fy, f: np.exp(-(fx / 40) ** 2 - (fy / 6) ** 2) * (0.2 + fx / 40),
    "dimples": lambda fx, fy, f: _ring(f, 40, 8),
}


@functools.lru_cache(maxsize=None)
def _splines(size, knots):
    """Uniform cubic B-splines at the middles of `size` pixels, float32 (size, knots + 3)."""
    at = (np.arange(size) + 0.5) / size * knots
    t = abs(at[:, None] - np.arange(-1, knots + 2))
    return np.where(t < 1, 2 / 3 - t * t + t ** 3 / 2, (2 - t).clip(0) ** 3 / 6).astype("float32")


@functools.lru_cache(maxsize=8)
def _grid(size):
    middle = (np.arange(size, dtype="float32") + 0.5) / size
    return np.meshgrid(middle, middle)


class Canvas:
    """A picture in the making, with rgb (3, size, size). The generator `plan` decides where things are, `look` how
    they look."""

    def __init__(self, size, plan, look):
        self.size, self.plan, self.look = size, plan, look
        self.x, self.y = _grid(size)
        self.rgb = np.zeros((3, size, size), "float32")

    # -------------------------------------------------------------- numbers and colours

    def colour(self, r, g, b, jitter=0.05):
        """A colour near this one."""
        base = np.array([r, g, b]) * self.look.uniform(1 - jitter, 1 + jitter) + self.look.normal(0, jitter / 3, 3)
        return base.clip(0, 1.2).astype("float32")

    # -------------------------------------------------------------- fields (size, size)

    def smooth(self, across, down):
        """A smooth random surface with so many humps across and down, of standard deviation about 1."""
        knots = self.look.standard_normal((down + 3, across + 3)).astype("float32") * 2.1
        return _splines(self.size, down) @ knots @ _splines(self.size, across).T

    def ridge(self, humps, roughness=0.4):
        """A random line over x (size,), of standard deviation about 1, for mountains, dunes and tree tops."""
        rng = np.random.default_rng(self.plan.integers(2 ** 32))       # `plan` must not depend on the size
        line, weight = np.zeros(self.size, "float32"), 1.0
        while humps < self.size / 2 and weight > 0.05:
            knots = rng.standard_normal(humps + 3).astype("float32") * 1.45
            line += weight * (_splines(self.size, humps) @ knots)
            humps, weight = humps * 2, weight * roughness
        return line

    def fill(self, name, scale=1.0, x=None, y=None):
        """The texture of that name at a random place; scale 1 shows the whole tile."""
        shift = self.look.uniform(0, TILE, 2)
        x, y = (self.x if x is None else x), (self.y if y is None else y)
        columns = (x * np.float32(scale * TILE) + np.float32(shift[0])).astype("int32") & (TILE - 1)
        rows = (y * np.float32(scale * TILE) + np.float32(shift[1])).astype("int32") & (TILE - 1)
        return texture(name).reshape(-1)[rows * TILE + columns]

    def ground(self, name, below, scale=1.0):
        """The texture of that name on level ground, seen at an angle. `below` is the depth under the horizon."""
        far = 1 / (below.clip(0) + np.float32(0.08))
        x = (self.x - np.float32(0.5)) * far * np.float32(0.35)
        return self.fill(name, scale, x, far * np.float32(0.25)) * (below * 5 + 0.15).clip(0.15, 1)

    # -------------------------------------------------------------- masks (size, size), 0..1

    def inside(self, distance, soft=1.0):
        """1 where distance > 0, else 0, with an edge of `soft` pixels."""
        return (distance * (self.size / soft) + 0.5).clip(0, 1)

    def radius(self, x, y, rx, ry, angle=0.0):
        """The distance from the middle of an ellipse, scaled so that it is 1 at the edge."""
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        dx, dy = self.x - np.float32(x), self.y - np.float32(y)
        return np.sqrt(((c * dx + s * dy) / np.float32(rx)) ** 2 + ((c * dy - s * dx) / np.float32(ry)) ** 2)

    def ellipse(self, x, y, rx, ry, angle=0.0, soft=1.0):
        return self.inside((1 - self.radius(x, y, rx, ry, angle)) * np.float32(min(rx, ry)), soft)

    def box(self, left, top, right, bottom):
        middle, half = np.float32((left + right) / 2), np.float32((right - left) / 2)
        across = half - abs(self.x[:1] - middle)
        down = np.float32((bottom - top) / 2) - abs(self.y[:, :1] - np.float32((top + bottom) / 2))
        return self.inside(across) * self.inside(down)

    def triangle(self, x, top, bottom, half, flat=0.0):
        """An upright triangle with its point at (x, top), or with a flat top of half width `flat`."""
        along = (self.y - np.float32(top)) / np.float32(bottom - top)
        across = np.float32(flat) + along * np.float32(half - flat) - abs(self.x - np.float32(x))
        return self.inside(across) * self.inside(np.minimum(self.y - np.float32(top), np.float32(bottom) - self.y))

    # -------------------------------------------------------------- paint

    def paint(self, mask, colour, shade=None):
        """Paint colour (3,) or (3, size, size), times shade, over the picture where mask is above 0."""
        colour = np.asarray(colour, "float32").reshape(3, -1, 1) if np.ndim(colour) == 1 else colour
        if shade is not None:
            colour = colour * shade
        self.rgb += mask * (colour - self.rgb)

    def blend(self, t, *colours):
        """A gradient (3, size, size) from the first colour, where t is 0, to the last, where t is 1."""
        at = t.clip(0, 1) * np.float32(len(colours) - 1)
        return sum((1 - abs(at - np.float32(i))).clip(0) * c.reshape(3, 1, 1) for i, c in enumerate(colours))

    def ball(self, x, y, r, colour, shade=1.0, squeeze=1.0, angle=0.0, gloss=0.25):
        """Paint a round thing, lit from the upper left. Returns its mask."""
        rx, ry = r, r * squeeze
        d2 = self.radius(x, y, rx, ry, angle) ** 2
        height = np.sqrt((1 - d2).clip(0.02))
        dx, dy = (self.x - np.float32(x)) / np.float32(rx), (self.y - np.float32(y)) / np.float32(ry)
        light = (0.62 * height - 0.42 * dx - 0.5 * dy).clip(0, 1)
        mask = self.inside((1 - np.sqrt(d2)) * np.float32(min(rx, ry)))
        self.paint(mask, colour, (0.38 + 0.72 * light) * shade)
        self.rgb += mask * gloss * (light - 0.86).clip(0) * 7
        return mask

    def shadow(self, mask, strength=0.45):
        self.rgb *= 1 - np.float32(strength) * mask

    def finished(self):
        """The photo, uint8 (size, size, 3), with its exposure, darker corners and sensor noise."""
        corners = (self.x - 0.5) ** 2 + (self.y - 0.5) ** 2
        light = np.float32(self.look.uniform(0.9, 1.08)) * (1 - np.float32(self.look.uniform(0.1, 0.4)) * corners)
        noise = self.look.standard_normal((self.size, self.size), "float32")
        noise *= np.float32(self.look.uniform(0.004, 0.014))
        rgb = ((self.rgb * light + noise) * 255 + np.float32(0.5)).clip(0, 255).astype("uint8")
        return np.ascontiguousarray(rgb.transpose(1, 2, 0))
