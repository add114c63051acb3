"""Losses between two places of the power chain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facilities.twin.site import Floats

from .constants import Number, PowerConstants


class Stage(NamedTuple):
    """A conversion stage of RAPS' form, ``P_in = (P_out + fixed) / efficiency``."""

    fixed_w: Number
    efficiency: Number

    def input_w(self, output_w: Number) -> Number:
        """What goes in for ``output_w``."""
        return (output_w + self.fixed_w) / self.efficiency

    def output_w(self, input_w: Number) -> Number:
        """The inverse of ``input_w``."""
        return input_w * self.efficiency - self.fixed_w


def psu(constants: PowerConstants) -> Stage:
    """The last stage before a node: from the rack's bus to the boards."""
    return Stage(constants.psu_fixed_w, constants.psu_efficiency)


def rectifier(constants: PowerConstants) -> Stage:
    """The stage before it: from AC to the rack's bus."""
    return Stage(constants.rectifier_fixed_w, constants.rectifier_efficiency)


class Losses(NamedTuple):
    """A curve at the ratings of devices: watts, watts per watt, watts per watt squared."""

    fixed_w: Floats
    proportional: Floats
    square: Floats

    def of(self, output_w: Floats, on: Floats) -> Floats:
        """Heat at an output, (M, n); ``on`` is the share of the time that it is energised."""
        loss_w = output_w * self.square
        loss_w += self.proportional
        loss_w *= output_w
        loss_w += self.fixed_w * on
        return loss_w


class Curve(NamedTuple):
    """Loss in three terms, each a share of the rating at full load: of being on, in proportion to
    the load, and with its square (Schneider Electric white paper 108).
    """

    fixed: Number
    proportional: Number
    square: Number

    def loss_w(self, output_w: Number, rated_w: Number, on: Number = 1.0) -> Number:
        """Heat at an output; ``on`` is the share of the time that the device is energised."""
        share = output_w / rated_w
        return rated_w * (self.fixed * on + share * (self.proportional + share * self.square))

    def at(self, rated_w: Floats) -> Losses:
        """The same in watts, for devices of these ratings."""
        return Losses(
            np.asarray(rated_w * self.fixed),
            np.asarray(self.proportional),
            np.asarray(self.square / rated_w),
        )

    def efficiency(self, output_w: Number, rated_w: Number) -> Number:
        """Output over input, 0..1."""
        return output_w / (output_w + self.loss_w(output_w, rated_w))


def ups(constants: PowerConstants) -> Curve:
    """Double conversion."""
    return Curve(constants.ups_fixed, constants.ups_proportional, constants.ups_square)


def pdu(constants: PowerConstants) -> Curve:
    """Isolation transformer: core and winding."""
    return Curve(constants.pdu_fixed, 0.0, constants.pdu_square)
