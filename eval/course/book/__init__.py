"""The course as a site of pages that need nothing else: `latentgeo book`."""
