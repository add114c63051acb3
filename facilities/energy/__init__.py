"""Energy, water and carbon of the site, as ISO/IEC 30134 defines their ratios.

``meters`` finds the points that count, ``integrate`` makes energy of their readings, ``report``
puts the ratios together over any period, ``now`` does so for this moment, ``prices`` knows money
and carbon, ``chain`` asks the twin about the power chain.
"""
