# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent layers."""

from __future__ import annotations
