function r(a,o){const t=Date.parse(a),n=o?Math.min(Date.parse(o),t+864e5):t;return{from:t-9e5,to:Math.max(t,n)+9e5}}export{r as a};
