"""Edge detection: detectors, the edge network, its training samples and the BSDS benchmark."""
