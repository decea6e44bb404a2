"""The lessons as pages that stand alone: no kernel, no network, panels alive."""
