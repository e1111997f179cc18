import sys, resvg_py
for p in sys.argv[1:]:
    s=open(p).read().replace("currentColor","#222")
    out=resvg_py.svg_to_bytes(svg_string=s, background="white") if hasattr(resvg_py,"svg_to_bytes") else resvg_py.svg_to_base64(svg_string=s)
    open(p.replace(".svg",".view.png"),"wb").write(bytes(out))
