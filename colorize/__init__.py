"""colorize: colour for grey photographs, with models made of minicnn.

    from colorize import models
    net = models.build("nano")
    ab = net.colorize(L)                    # L in 0..100, any size; ab in Lab units at that size
"""
